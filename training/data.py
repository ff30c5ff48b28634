"""Feature files → batches. Features themselves are computed by the product's extractor (training/features.ts).

Speaker normalisation here follows core/model.ts `Normalisation.kind = "speaker"`: the prior counts as `prior_frames`
frames of speech that were seen before, the speaker's own speech frames are added to it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# What the product answers with.
LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
# What the network learns: calm (RAVDESS) and boredom (EMO-DB) are labels of their own there.
TRAINED = [*LABELS, "calm", "boredom"]
LABEL_OF = {name: i for i, name in enumerate(TRAINED)}
# Trained label → the product's, −1 for none. Calm is neutral, as in the paper. Boredom (EMO-DB only) is learned so that
# it does not pass for something else, and is no answer.
MERGED = np.array([LABELS.index("neutral" if name == "calm" else name) if name != "boredom" else -1 for name in TRAINED])
# Folders of the corpora → names in model.json.
CORPUS_NAMES = {"emodb_first2s": "emodb"}
FRAMES = 300
FOLDS = 6
# Frames before and after speech that a window includes: slidingWindows' prerollMs.
MARGIN = 10
LEAST_SPEECH = 20
# Test actors of EmoBox's six RAVDESS folds.
RAVDESS_FOLDS = [(1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22)]


def mel_of(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale, as src/stream/features/mel.ts."""
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) * 27 / np.log(6.4))


def hz_of(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def band_edges(spec: dict) -> np.ndarray:
    """Hz: where the mel bands begin, and where the last two end."""
    low, high = mel_of(np.array([spec["melLowHz"], spec["melHighHz"]]))
    return hz_of(np.linspace(low, high, spec["melBands"] + 2))


class Cepstrum:
    """Log-mel bands [T, bands] → MFCC [T, mfcc], as src/stream/features does it."""

    def __init__(self, spec: dict):
        bands, count = spec["melBands"], spec["mfcc"]
        n, k = np.arange(bands)[:, None], np.arange(count)[None]
        self.cosines = (np.cos(np.pi * k * (n + 0.5) / bands) * np.sqrt(np.where(k == 0, 1, 2) / bands)).astype(np.float32)
        self.range = np.float32(spec.get("mfccTopDb", np.inf))
        begins = band_edges(spec)[:bands]
        self.above_hum = min(int(np.sum(begins < spec.get("humHz", 0))), bands - 1)

    def of(self, mel: np.ndarray) -> np.ndarray:
        return np.maximum(mel, mel[:, self.above_hum :].max(1, keepdims=True) - self.range) @ self.cosines


def channel_names(kind: str, spec: dict) -> list[str]:
    """Names of a channel subset, in featureNames() order. `kind`: letters of m d D l c e."""
    names: list[str] = []
    if "m" in kind:
        names += [f"mfcc{i}" for i in range(spec["mfcc"])]
    if "d" in kind:
        names += [f"delta{i}" for i in range(spec["mfcc"])]
    if "D" in kind:
        names += [f"delta2_{i}" for i in range(spec["mfcc"])]
    if "l" in kind:
        names += [f"mel{i}" for i in range(spec["melBands"])]
    if "c" in kind:
        names += [f"chroma{i}" for i in range(12)]
    if "e" in kind:
        names += ["energy"]
    return names


def spec_of(folder: Path, name: str) -> dict:
    """What the features of a set are: FeatureSpec of src/core/feature-spec.ts."""
    return json.loads((folder / f"{name}.json").read_text())["features"]


@dataclass
class Clip:
    corpus: str
    speaker: str
    label: int
    file: str
    first: int
    """Frame, in its set's features, at which its talk begins."""
    frames: int
    """From the first to the last speech frame, and a margin as the product leaves it (prerollMs)."""
    fold: int
    sex: str
    """As the corpus says; empty where it does not."""
    count: int = 0
    total: np.ndarray = field(default_factory=lambda: np.zeros(0))
    square: np.ndarray = field(default_factory=lambda: np.zeros(0))
    text: str = ""


class FeatureSet:
    """All clips through one line (clean, opus16, …), with the sums over speech frames that normalisation needs."""

    def __init__(self, folder: Path, name: str, channels: list[str], corpora: set[str] | None = None):
        path = folder / f"{name}.safetensors"
        index = json.loads((folder / f"{name}.json").read_text())
        features, speech = map_features(path)
        self.name = name
        self.spec = index["features"]
        self.channels = channels
        # A view of the file wherever that is all of it: runs side by side then share the memory.
        pick = [index["channels"].index(channel) for channel in channels]
        self.features = features if channels == index["channels"] else np.ascontiguousarray(features[:, pick])
        self.speech = speech.astype(bool)
        self.clips: list[Clip] = []
        folds = assign_folds({(c["corpus"], c["speaker"]) for c in index["clips"]})
        count, total, square = speech_sums(path, features, self.speech, index["clips"])
        for i, entry in enumerate(index["clips"]):
            if entry["emotion"] not in LABEL_OF or (corpora is not None and entry["corpus"] not in corpora):
                continue
            begin, end = entry["offset"], entry["offset"] + entry["frames"]
            spoken = np.flatnonzero(self.speech[begin:end])
            # A clip in which the gate hears next to nothing is judged as a whole.
            heard = len(spoken) >= LEAST_SPEECH
            first = max(0, int(spoken[0]) - MARGIN) if heard else 0
            last = min(entry["frames"], int(spoken[-1]) + 1 + MARGIN) if heard else entry["frames"]
            clip = Clip(
                entry["corpus"],
                entry["speaker"],
                LABEL_OF[entry["emotion"]],
                entry["file"],
                begin + first,
                last - first,
                folds[(entry["corpus"], entry["speaker"])],
                entry["sex"],
                int(count[i]),
                total[i, pick],
                square[i, pick],
            )
            self.clips.append(clip)


def map_features(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The two tensors of a feature file without reading them: features [frames, C] float16, speech [frames] uint8."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))

    def tensor(name: str, dtype: type) -> np.ndarray:
        entry = header[name]
        return np.memmap(path, dtype, "r", 8 + size + entry["data_offsets"][0], tuple(entry["shape"]))

    return tensor("features", np.float16), tensor("speech", np.uint8)


def speech_sums(
    path: Path, features: np.ndarray, speech: np.ndarray, clips: list[dict]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each clip's speech frames their number, sum and sum of squares; kept in a file beside the features."""
    kept = path.with_suffix(".sums.npz")
    if kept.exists() and kept.stat().st_mtime >= path.stat().st_mtime:
        stored = np.load(kept)
        return stored["count"], stored["total"], stored["square"]
    count = np.zeros(len(clips), np.int64)
    total = np.zeros((len(clips), features.shape[1]))
    square = np.zeros_like(total)
    for i, entry in enumerate(clips):
        here = slice(entry["offset"], entry["offset"] + entry["frames"])
        rows = features[here][speech[here]].astype(np.float32)
        count[i], total[i], square[i] = len(rows), rows.sum(0), np.square(rows).sum(0)
    np.savez(kept, count=count, total=total, square=square)
    return count, total, square


def holding(hold: str) -> Callable[[Clip], bool]:
    """Says of a clip whether `hold` (fold:K, speaker:CORPUS:NAME, corpus:NAME, none) keeps it out of training."""
    kind, _, name = hold.partition(":")
    if kind == "none":
        return lambda clip: False
    if kind == "fold" and name.isdigit() and int(name) < FOLDS:
        return lambda clip: clip.fold == int(name)
    if kind == "speaker" and name.count(":") == 1:
        return lambda clip: name == f"{clip.corpus}:{clip.speaker}"
    if kind == "corpus" and name:
        return lambda clip: clip.corpus == name
    raise SystemExit(f"--hold must be fold:0–{FOLDS - 1}, speaker:CORPUS:NAME, corpus:NAME or none, got {hold}")


def assign_folds(speakers: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Speaker → fold. RAVDESS as EmoBox has it; each other corpus deals its sorted speakers round; TESS's two apart."""
    folds: dict[tuple[str, str], int] = {}
    by_corpus: dict[str, list[str]] = {}
    for corpus, speaker in sorted(speakers):
        by_corpus.setdefault(corpus, []).append(speaker)
    for corpus, names in by_corpus.items():
        for i, speaker in enumerate(names):
            if corpus == "ravdess":
                folds[(corpus, speaker)] = next(k for k, actors in enumerate(RAVDESS_FOLDS) if int(speaker) in actors)
            else:
                folds[(corpus, speaker)] = (i * FOLDS // len(names) if len(names) < FOLDS else i) % FOLDS
    return folds


def folds_of_voices(features: Path) -> dict[tuple[str, str], int]:
    """Corpus and speaker → fold, of everybody that features were computed of."""
    clips = json.loads((features / "clean.json").read_text())["clips"]
    return assign_folds({(clip["corpus"], clip["speaker"]) for clip in clips})


@dataclass
class Normalisation:
    mean: np.ndarray
    std: np.ndarray
    prior_frames: float

    def adapt(self, count: float, total: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation after `count` speech frames with these sums."""
        weight = self.prior_frames + count
        mean = (self.mean * self.prior_frames + total) / weight
        moment = ((self.std**2 + self.mean**2) * self.prior_frames + square) / weight
        return mean, np.sqrt(np.maximum(moment - mean**2, 1e-4 * self.std**2))


def fit_prior(clips: list[Clip], prior_frames: float) -> Normalisation:
    """The average voice: every corpus counts the same, every speech frame within it the same."""
    means, moments = [], []
    for corpus in sorted({clip.corpus for clip in clips}):
        of = [clip for clip in clips if clip.corpus == corpus]
        count = sum(clip.count for clip in of)
        means.append(sum(clip.total for clip in of) / count)
        moments.append(sum(clip.square for clip in of) / count)
    mean = np.mean(means, 0)
    return Normalisation(mean, np.sqrt(np.mean(moments, 0) - mean**2), prior_frames)


@dataclass
class Windows:
    """Evaluation windows of clips, normalised: features [W, C, 1, T], mask, and which clip each belongs to."""

    features: np.ndarray
    mask: np.ndarray
    clip: np.ndarray


def evaluation_windows(
    feature_set: FeatureSet,
    clips: list[Clip],
    normalisation: Normalisation,
    warm: bool,
    length: int = FRAMES,
    hop: int = 50,
    first_only: bool = False,
    warm_frames: float = 3000,
) -> Windows:
    """Windows as the live product cuts them: every `hop` frames over the clip's speech, a shorter one if it is short.

    Cold: the prior and what was heard of the clip up to the window's end. Warm: also `warm_frames` frames of the
    speaker's other clips (all of them, scaled down to that weight).
    """
    sums: dict[tuple[str, str], list] = {}
    for clip in feature_set.clips:
        entry = sums.setdefault((clip.corpus, clip.speaker), [0.0, 0.0, 0.0])
        entry[0], entry[1], entry[2] = entry[0] + clip.count, entry[1] + clip.total, entry[2] + clip.square
    rows, masks, owners = [], [], []
    for number, clip in enumerate(clips):
        starts = [0] if first_only else list(range(0, max(1, clip.frames - length + hop // 2), hop))
        x = feature_set.features[clip.first : clip.first + clip.frames].astype(np.float32)
        speech = feature_set.speech[clip.first : clip.first + clip.frames]
        count, total, square = 0.0, 0.0, 0.0
        if warm:
            all_count, all_total, all_square = sums[(clip.corpus, clip.speaker)]
            others = all_count - clip.count
            scale = min(1.0, warm_frames / max(others, 1.0))
            count = others * scale
            total = (all_total - clip.total) * scale
            square = (all_square - clip.square) * scale
        for start in starts:
            end = min(start + length, clip.frames)
            heard = x[:end][speech[:end]].astype(np.float64)
            mean, std = normalisation.adapt(
                count + len(heard), total + heard.sum(0), square + np.square(heard).sum(0)
            )
            row = np.zeros((x.shape[1], 1, FRAMES), np.float32)
            row[:, 0, : end - start] = ((x[start:end] - mean) / std).T
            valid = np.zeros((1, 1, FRAMES), np.float32)
            valid[..., : end - start] = 1
            rows.append(row)
            masks.append(valid)
            owners.append(number)
    return Windows(np.stack(rows), np.stack(masks), np.array(owners))
