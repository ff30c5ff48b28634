"""Recordings → the paper's feature rows, by librosa, as the paper's public code computes them. Learning is paper.py.

This is the one place where features are not the product's own (training/features.ts): the paper's recipe is followed
to the letter, so that its figures can be held beside ours. arXiv 2507.03251, code spilabkorea/ser.

Run: python training/paper_features.py FOLDER…   (each with a manifest.csv: `npm run corpus -- manifest DIR` writes one)
"""

import argparse
import csv
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import librosa
import numpy as np

RATE_HZ = 22_050
OFFSET_S, DURATION_S = 0.6, 2.5
FRAME, HOP = 2048, 512
FRAMES = 1 + int(RATE_HZ * DURATION_S) // HOP
MFCC, CHROMA = 20, 12
MFCC_ROW = (2 + MFCC) * FRAMES
CHROMA_ROW = CHROMA * FRAMES
COPIES = ("as is", "noise", "pitch", "pitch + noise")
PITCH_STEPS = 0.7
# The EMO-DB notebook alone shifts by this many semitones.
PITCH_STEPS_EMODB = 2.0
# For our own network: the same audio at twice the frame rate, kept as a sequence.
FINE_HOP = 256
FINE_FRAMES = int(RATE_HZ * DURATION_S) // FINE_HOP + 1
MEL_BANDS = 40
FINE_CHANNELS = 2 + MFCC + MEL_BANDS
LEAST_SAMPLES = FRAME
SEED = 42


def noisy(y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """White noise, up to 3.5 % of the recording's maximum in deviation."""
    return y + 0.035 * random.uniform() * np.amax(y) * random.standard_normal(len(y))


def copies(y: np.ndarray, steps: float, rounds: int, random: np.random.Generator) -> list[np.ndarray]:
    """The four recordings that the paper makes of one, in the order of COPIES; `rounds` times, only the noise anew."""
    shifted = librosa.effects.pitch_shift(y, sr=RATE_HZ, n_steps=steps)
    return [copy for _ in range(rounds) for copy in (y, noisy(y, random), shifted, noisy(shifted, random))]


def padded(row: np.ndarray, length: int) -> np.ndarray:
    """Zeros after the row's end: where the paper's table had fewer columns, it was filled with 0."""
    out = np.zeros(length, np.float32)
    out[: min(length, len(row))] = row[:length]
    return out


def mfcc_row(y: np.ndarray) -> np.ndarray:
    """[2376]: zero crossings, RMS, then the MFCC frame by frame. A shorter recording's zeros stand at the end."""
    zcr = librosa.feature.zero_crossing_rate(y, frame_length=FRAME, hop_length=HOP)[0]
    rms = librosa.feature.rms(y=y, frame_length=FRAME, hop_length=HOP)[0]
    mfcc = librosa.feature.mfcc(y=y, sr=RATE_HZ, n_mfcc=MFCC)
    return padded(np.concatenate([zcr, rms, mfcc.T.ravel()]), MFCC_ROW)


def chroma_row(y: np.ndarray) -> np.ndarray:
    """[1296]: chroma_stft of the magnitude spectrum, frame by frame."""
    return padded(librosa.feature.chroma_stft(S=np.abs(librosa.stft(y)), sr=RATE_HZ).T.ravel(), CHROMA_ROW)


def fine_frames(y: np.ndarray) -> tuple[np.ndarray, int]:
    """[FINE_FRAMES, FINE_CHANNELS] in float16, and how many frames are valid: zero crossings, RMS, MFCC, log-mel."""
    power = librosa.feature.melspectrogram(y=y, sr=RATE_HZ, hop_length=FINE_HOP, n_mels=128)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=MFCC)
    bands = librosa.feature.melspectrogram(y=y, sr=RATE_HZ, hop_length=FINE_HOP, n_mels=MEL_BANDS)
    zcr = librosa.feature.zero_crossing_rate(y, frame_length=FRAME, hop_length=FINE_HOP)
    rms = librosa.feature.rms(y=y, frame_length=FRAME, hop_length=FINE_HOP)
    frames = np.concatenate([100 * zcr, librosa.amplitude_to_db(rms, top_db=None), mfcc, librosa.power_to_db(bands)]).T
    out = np.zeros((FINE_FRAMES, FINE_CHANNELS), np.float16)
    count = min(FINE_FRAMES, len(frames))
    out[:count] = frames[:count]
    return out, count


def rows_of(job: tuple[Path, float, int, int]) -> dict[str, np.ndarray] | str:
    """All rows of one recording, or why there are none. Seeded by the recording: the order of work changes nothing."""
    path, steps, rounds, number = job
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y, _ = librosa.load(path, sr=RATE_HZ, mono=True, offset=OFFSET_S, duration=DURATION_S)
        if len(y) < LEAST_SAMPLES:
            return f"has {len(y) / RATE_HZ:.2f} s after the first {OFFSET_S} s"
        made = copies(y, steps, rounds, np.random.default_rng([SEED, number]))
        fine = [fine_frames(copy) for copy in made]
        return {
            "mfcc": np.stack([mfcc_row(copy) for copy in made]),
            "chroma": np.stack([chroma_row(copy) for copy in made]),
            "frames": np.stack([frames for frames, _ in fine]),
            "valid": np.array([count for _, count in fine], np.int16),
        }
    except Exception as error:  # noqa: BLE001: whatever a decoder says, the next recording is not to blame
        return f"{type(error).__name__}: {error}"


def read_manifest(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in ("file", "speaker", "emotion") if not rows or name not in rows[0]]
    if missing:
        raise SystemExit(f"{folder / 'manifest.csv'} lacks the column {', '.join(missing)}")
    # Calm counts as neutral, as in the paper. Boredom stays: the paper's EMO-DB has it.
    return [row | {"emotion": "neutral" if row["emotion"] == "calm" else row["emotion"]} for row in rows]


def extract(folder: Path, out: Path, jobs: int, limit: int | None, rounds: int) -> int:
    """Writes out/CORPUS.npz, 4 · `rounds` rows a recording in the manifest's order. Returns how many were left out."""
    entries = read_manifest(folder)[:limit]
    steps = PITCH_STEPS_EMODB if folder.name.startswith("emodb") else PITCH_STEPS
    work = [(folder / entry["file"], steps, rounds, number) for number, entry in enumerate(entries)]
    kept: list[tuple[dict[str, str], dict[str, np.ndarray]]] = []
    left_out = 0
    started = time.time()
    with ProcessPoolExecutor(jobs, initializer=os.nice, initargs=(10,)) as pool:
        for done, (entry, rows) in enumerate(zip(entries, pool.map(rows_of, work, chunksize=8), strict=True), 1):
            if isinstance(rows, str):
                left_out += 1
                print(f"left out: {folder / entry['file']}: {rows}", file=sys.stderr)
            else:
                kept.append((entry, rows))
            if done % 200 == 0 or done == len(entries):
                print(f"{folder.name}: {done} of {len(entries)}, {time.time() - started:.0f} s", flush=True)
    if not kept:
        return left_out
    out.mkdir(parents=True, exist_ok=True)
    count = len(COPIES) * rounds
    np.savez(
        out / f"{folder.name}.npz",
        **{name: np.concatenate([rows[name] for _, rows in kept]) for name in ("mfcc", "chroma", "frames", "valid")},
        emotion=np.repeat([entry["emotion"] for entry, _ in kept], count),
        speaker=np.repeat([entry["speaker"] for entry, _ in kept], count),
        recording=np.repeat([entry["file"] for entry, _ in kept], count),
        copy=np.tile(np.arange(len(COPIES), dtype=np.int8), rounds * len(kept)),
    )
    return left_out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path(".cache/paper"))
    parser.add_argument("--jobs", type=int, default=2, help="processes, two at most")
    parser.add_argument("--rounds", type=int, default=1, help="times four rows a recording; 64 in the paper's tables of SAVEE and RAVDESS")
    parser.add_argument("--limit", type=int, help="only so many recordings of each corpus: a trial")
    args = parser.parse_args()
    left_out = sum(extract(folder, args.out, max(1, min(2, args.jobs)), args.limit, max(1, args.rounds)) for folder in args.folders)
    print(f"{left_out} left out")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
