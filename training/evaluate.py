"""Judges a network on clips it never saw, and joins the judgements of all folds into one report.

Run: python training/evaluate.py --runs .cache/runs/base   (all folds → figures, temperature, threshold)
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from data import CORPUS_NAMES, MERGED, TRAINED, Clip, FeatureSet, Normalisation, evaluation_windows, holding
from metrics import (
    abstain_threshold,
    accuracy,
    bootstrap,
    calibration_error,
    confusion,
    fit_temperature,
    macro_f1,
    merged,
    reliability,
    risk_coverage,
    softmax,
    uar,
)
from networks import network_of
from pictures import draw

# What is judged, each on a speaker's clips: adapted to the voice or not, and how much audio.
MODES = {
    "warm_clip": {"warm": True},
    "cold_clip": {"warm": False},
    "warm_window": {"warm": True},
    "cold_window": {"warm": False},
    "warm_first_1s": {"warm": True, "length": 100, "first_only": True},
    "cold_first_1s": {"warm": False, "length": 100, "first_only": True},
}
CALIBRATION_MODES = ("warm_window", "cold_window")
# How recipe.py begins the name of a run that held out one voice.
VOICE = "voice-"


def predict(model: torch.nn.Module, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    model.eval()
    logits = []
    with torch.no_grad():
        for at in range(0, len(features), 64):
            x = torch.from_numpy(features[at : at + 64]).contiguous(memory_format=torch.channels_last)
            logits.append(model(x, torch.from_numpy(mask[at : at + 64])).float().numpy())
    return np.concatenate(logits)


def window_logits(
    model: torch.nn.Module, feature_set: FeatureSet, clips: list[Clip], normalisation: Normalisation, options: dict
) -> tuple[np.ndarray, np.ndarray]:
    """One row a window and the clip number it belongs to. `options`: of evaluation_windows."""
    logits, owners = [], []
    for at in tqdm(range(0, len(clips), 300), desc=f"judging {feature_set.name}", leave=False, disable=None):
        windows = evaluation_windows(feature_set, clips[at : at + 300], normalisation, **options)
        logits.append(predict(model, windows.features, windows.mask))
        owners.append(windows.clip + at)
    return np.concatenate(logits), np.concatenate(owners)


def clip_probabilities(logits: np.ndarray, owners: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Mean probability over a clip's windows: [clips, labels]."""
    probabilities = softmax(logits / temperature)
    total = np.zeros((owners.max() + 1, logits.shape[1]))
    np.add.at(total, owners, probabilities)
    return total / total.sum(1, keepdims=True)


def quick_report(
    model: torch.nn.Module, feature_set: FeatureSet, clips: list[Clip], normalisation: Normalisation
) -> dict[str, dict[str, float]]:
    """UAR per corpus, warm and cold, whole clips, over its own labels and (`seven`) the product's: to compare trials."""
    truth = np.array([clip.label for clip in clips])
    corpus = np.array([clip.corpus for clip in clips])
    report: dict[str, dict[str, float]] = {}
    for mode in ("warm_clip", "cold_clip"):
        logits, owners = window_logits(model, feature_set, clips, normalisation, MODES[mode])
        probabilities = clip_probabilities(logits, owners)
        report[mode] = {
            name: round(uar(truth[corpus == name], probabilities[corpus == name]), 4) for name in sorted(set(corpus))
        }
        if mode == "warm_clip":
            seven = clip_probabilities(merged(logits), owners)
            report["seven"] = {
                name: round(uar(MERGED[truth[of]], seven[of]), 4)
                for name in ("ravdess", "emodb_first2s")
                if (of := (corpus == name) & (MERGED[truth] >= 0)).any()
            }
    return report


def keep_judgements(
    model: torch.nn.Module,
    feature_set: FeatureSet,
    held: Callable[[Clip], bool],
    normalisation: Normalisation,
    path: Path,
) -> None:
    """Writes the logits of every mode for the clips held out."""
    clips = [clip for clip in feature_set.clips if held(clip)]
    stored = {
        "truth": np.array([clip.label for clip in clips]),
        "corpus": np.array([clip.corpus for clip in clips]),
        "speaker": np.array([clip.speaker for clip in clips]),
        "sex": np.array([clip.sex for clip in clips]),
    }
    for mode in MODES:
        stored[f"{mode}_logits"], stored[f"{mode}_owner"] = window_logits(model, feature_set, clips, normalisation, MODES[mode])
    np.savez(path, **stored)


def load_run(run: Path) -> tuple[torch.nn.Module, Normalisation, dict]:
    """The averaged network of a run, the voice it starts from, and its checkpoint."""
    state = torch.load(run / "checkpoint.pt", weights_only=False)
    model = network_of(state).eval()
    options = state["options"]
    return model, Normalisation(state["mean"], state["std"], options["prior_frames"]), state


def judge_again(run: Path, lines: list[str], features: Path) -> None:
    """Judges a finished run on lines that it has not been judged on yet."""
    missing = [line for line in lines if not (run / f"oof-{line}.npz").exists()]
    if not missing:
        return
    model, normalisation, state = load_run(run)
    for line in missing:
        feature_set = FeatureSet(features, line, state["channels"], set(state["corpora"]))
        keep_judgements(model, feature_set, holding(state["options"]["hold"]), normalisation, run / f"oof-{line}.npz")


def fold_runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("fold*"))


def voice_runs(folder: Path) -> list[Path]:
    """Runs that held out one voice by itself, as `protocol.py loso` leaves them."""
    return sorted(folder.glob(f"{VOICE}*"))


def adaptation(folder: Path, features: Path, seconds: tuple[float, ...] = (0, 1, 2, 3, 5, 10, 20, 30, 60)) -> dict:
    """How fast it follows a voice: UAR of whole recordings after so many seconds of the voice's other speech."""
    truth, corpus, judged = [], [], {heard: [] for heard in seconds}
    for run in fold_runs(folder):
        model, normalisation, state = load_run(run)
        feature_set = FeatureSet(features, "clean", state["channels"], set(state["corpora"]))
        held = holding(state["options"]["hold"])
        clips = [clip for clip in feature_set.clips if held(clip)]
        truth += [clip.label for clip in clips]
        corpus += [CORPUS_NAMES.get(clip.corpus, clip.corpus) for clip in clips]
        for heard in seconds:
            options = {"warm": heard > 0, "warm_frames": 100 * heard}
            logits, owners = window_logits(model, feature_set, clips, normalisation, options)
            judged[heard].append(clip_probabilities(logits, owners))
    names, label = np.array(corpus), np.array(truth)
    return {
        name: {
            str(heard): round(uar(label[names == name], np.concatenate(parts)[names == name]), 4)
            for heard, parts in judged.items()
        }
        for name in sorted(set(corpus))
    }


def load_folds(runs: list[Path], feature_set: str) -> dict:
    """Joins the out-of-fold logits that train.py left: {mode: (logits, owner)}, truth, corpus, speaker.

    A voice that several runs hold out is judged by the first of them.
    """
    joined: dict = {"truth": [], "corpus": [], "speaker": [], "sex": [], "modes": {mode: ([], []) for mode in MODES}}
    known: set[tuple[str, str]] = set()
    base = 0
    for run in runs:
        stored = np.load(run / f"oof-{feature_set}.npz")
        voices = list(zip(stored["corpus"].tolist(), stored["speaker"].tolist(), strict=True))
        fresh = np.array([voice not in known for voice in voices])
        known |= set(voices)
        for key in ("truth", "corpus", "speaker", "sex"):
            joined[key].append(stored[key][fresh])
        number = base + np.cumsum(fresh) - 1
        for mode in MODES:
            owner = stored[f"{mode}_owner"]
            joined["modes"][mode][0].append(stored[f"{mode}_logits"][fresh[owner]])
            joined["modes"][mode][1].append(number[owner[fresh[owner]]])
        base += int(fresh.sum())
    for key in ("truth", "corpus", "speaker", "sex"):
        joined[key] = np.concatenate(joined[key])
    joined["modes"] = {m: (np.concatenate(a), np.concatenate(b)) for m, (a, b) in joined["modes"].items()}
    joined["folds"] = len(runs)
    return joined


def corpus_figures(folds: dict, name: str, temperature: float) -> dict:
    """Every figure of one corpus from its out-of-fold logits: over its own labels, and over the product's seven."""
    truth, corpus = folds["truth"], folds["corpus"]
    mine = corpus == name
    own = np.unique(truth[mine])
    figures: dict = {
        "clips": int(mine.sum()),
        "speakers": len(set(folds["speaker"][mine])),
        "labels": [TRAINED[k] for k in own],
        "uar": {},
        "accuracy": {},
    }
    for mode, (logits, owners) in folds["modes"].items():
        here = corpus[owners] == name
        seven = merged(logits)
        if mode.endswith("clip"):
            p, t = clip_probabilities(logits, owners)[mine], truth[mine]
            p7 = clip_probabilities(seven, owners, temperature)[mine]
        else:
            p, t = softmax(logits[here]), truth[owners[here]]
            p7 = softmax(seven[here] / temperature)
        figures["uar"][mode] = round(uar(t, p), 4)
        figures["accuracy"][mode] = round(accuracy(t, p), 4)
        if mode == "warm_clip":
            figures["macroF1"] = round(macro_f1(t, p), 4)
            figures["interval"] = bootstrap(t, p)
            figures["confusion"] = confusion(t, p)
            figures["speakerUar"] = {
                speaker: round(uar(t[of], p[of]), 4)
                for speaker in sorted(set(folds["speaker"][mine]))
                if len(np.unique(t[of := folds["speaker"][mine] == speaker])) > 1
            }
            sexes = folds["sex"][mine]
            figures["sexUar"] = {
                sex: {"speakers": len(set(folds["speaker"][mine][sexes == sex])), "uar": round(uar(t[sexes == sex], p[sexes == sex]), 4)}
                for sex in sorted(set(sexes) - {""})
            }
        # What the product has no answer for, boredom, does not count there.
        t7 = MERGED[t]
        t7, p7 = t7[t7 >= 0], p7[t7 >= 0]
        if mode == "warm_clip":
            figures["seven"] = {
                "uar": round(uar(t7, p7, free=True), 4),
                "accuracy": round(float(np.mean(p7.argmax(1) == t7)), 4),
            }
        if mode == "warm_window":
            figures["ece"] = round(calibration_error(t7, p7, np.ones(len(t7))), 4)
    return figures


def unchanged(folds: dict, other: dict, name: str, temperature: float, threshold: float) -> dict[str, float]:
    """Shares of a corpus's recordings, warm, whose likeliest of the seven labels is the same on another line.

    `unchanged`: of all of them; `decidedUnchanged`: of those on which it does not abstain (`threshold`) before the line,
    which are the share `decided`.
    """
    before, behind = (
        clip_probabilities(merged(logits), owners, temperature)[entry["corpus"] == name]
        for entry in (folds, other)
        for logits, owners in [entry["modes"]["warm_clip"]]
    )
    same, decided = before.argmax(1) == behind.argmax(1), before.max(1) >= threshold
    shares = {"unchanged": same, "decided": decided, "decidedUnchanged": same[decided]}
    return {key: round(float(np.mean(of)), 4) for key, of in shares.items()}


def summary(runs: list[Path], lines: list[str], alone: Sequence[Path] = ()) -> dict:
    """What export.py packs: temperature, threshold and the figures of the model card, all out-of-fold.

    `alone`: runs that held out one voice each; of their corpora there are figures leave-one-speaker-out too.
    """
    folds = load_folds(runs, lines[0])
    truth, corpus = MERGED[folds["truth"]], folds["corpus"]
    names = sorted(set(corpus))
    # Warm and cold windows together, as a call has them; each corpus weighs the same, however many windows it has.
    logits = merged(np.concatenate([folds["modes"][mode][0] for mode in CALIBRATION_MODES]))
    owners = np.concatenate([folds["modes"][mode][1] for mode in CALIBRATION_MODES])
    known = truth[owners] >= 0
    logits, owners = logits[known], owners[known]
    sizes = {name: np.sum(corpus[owners] == name) for name in names}
    weight = np.array([1.0 / sizes[name] for name in corpus[owners]])
    temperature = fit_temperature(logits, truth[owners], weight)
    p, t = softmax(logits / temperature), truth[owners]
    threshold = abstain_threshold(p, weight)
    metrics: dict = {
        "protocol": f"Speaker-independent: {folds['folds']} folds, each voice judged by a network that never heard it.",
        "command": f"python training/evaluate.py --runs DIR --lines {','.join(lines)}",
        "folds": folds["folds"],
        "ece": round(calibration_error(t, p, weight), 4),
        "corpora": {CORPUS_NAMES.get(name, name): corpus_figures(folds, name, temperature) for name in names},
        "lines": {},
        "riskCoverage": risk_coverage(t, p, weight),
        "reliability": reliability(t, p, weight),
    }
    for line in lines[1:]:
        other = load_folds(runs, line)
        metrics["lines"][line] = {
            CORPUS_NAMES.get(name, name): {
                "warm_clip": (figures := corpus_figures(other, name, temperature))["uar"]["warm_clip"],
                "cold_clip": figures["uar"]["cold_clip"],
                **unchanged(folds, other, name, temperature, threshold),
                "clips": figures["clips"],
            }
            for name in names
            if np.sum(other["corpus"] == name) == np.sum(folds["corpus"] == name)
        }
    if alone:
        each = load_folds([*alone, *runs], lines[0])
        names = sorted({str(name) for run in alone for name in np.load(run / f"oof-{lines[0]}.npz")["corpus"]})
        metrics["leaveOneSpeakerOut"] = {CORPUS_NAMES.get(n, n): corpus_figures(each, n, temperature) for n in names}
    return {
        "temperature": round(temperature, 4),
        "abstainBelow": round(threshold, 3),
        "metrics": metrics,
    }


def print_summary(judged: dict) -> None:
    metrics = judged["metrics"]
    print(f"{metrics['folds']} folds; temperature {judged['temperature']}, ECE {metrics['ece']}")
    print(f"{'UAR':10}" + "".join(f"{mode:>14}" for mode in MODES) + "  WA     F1     7 labels  95 %")
    for name, entry in metrics["corpora"].items():
        cells = "".join(f"{entry['uar'][mode]:14.3f}" for mode in MODES)
        rest = f"{entry['accuracy']['warm_clip']:7.3f}{entry['macroF1']:7.3f}{entry['seven']['uar']:9.3f}"
        print(f"{name:10}{cells}{rest}  {entry['interval']} ECE {entry['ece']}")
    for name, entry in metrics.get("leaveOneSpeakerOut", {}).items():
        cells = "".join(f"{entry['uar'][mode]:14.3f}" for mode in MODES)
        print(f"{name:10}{cells}{entry['accuracy']['warm_clip']:7.3f} leave-one-speaker-out {entry['interval']}")
    for line, entries in metrics["lines"].items():
        cells = "".join(f"  {name} {e['warm_clip']:.3f} ({e['unchanged']:.0%} same, {e['decidedUnchanged']:.0%} if decided)" for name, e in entries.items())
        print(f"{line:12}{cells}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder with fold0, fold1, … as recipe.py left them")
    parser.add_argument("--lines", default="clean", help="feature sets; the first one is calibrated on")
    parser.add_argument("--json", type=Path, help="for export.py --metrics")
    parser.add_argument("--svg", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    result = summary(fold_runs(options.runs), options.lines.split(","), voice_runs(options.runs))
    print_summary(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.svg:
        draw(result, options.svg)
