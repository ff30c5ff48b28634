"""The `paper` protocol: rows shuffled, four fifths train, one fifth test, by the paper's network or by ours.

Four copies of each recording are among the rows, so copies of one recording, and every speaker, stand on both sides.
The report says how many test rows have such a sibling in training; `--split speaker` trains the same network without
that help. Rows come from paper_features.py. Started again, the same command goes on after its last epoch.

Run: python training/paper.py --rows .cache/paper/emodb.npz --out .cache/runs/paper-emodb
     python training/paper.py --rows .cache/paper/emodb.npz --out .cache/runs/ours-emodb --network ours
"""

import argparse
import ctypes
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from model import STRIDE, EmotionNet, count_parameters
from pictures import draw_paper

SEED = 42
SPEAKER_FOLDS = 5
# What each network is trained with unless the command says otherwise; the paper's are the paper's.
DEFAULTS = {
    "paper": {"features": "mfcc", "epochs": 100, "rate": 1e-5, "batch": 16},
    "ours": {"features": "frames", "epochs": 60, "rate": 2e-3, "batch": 64},
}


class PaperNet(nn.Module):
    """Rows [N, L] → logits [N, labels], layer by layer as in arXiv 2507.03251, with Keras's defaults.

    L2 of 1e-3 on three kernels is the optimizer's business (`groups`). The paper's pooling layers of size 1 do nothing.
    """

    def __init__(self, length: int, labels: int, width: int = 256, kernel: int = 7, reduction: int = 16):
        super().__init__()
        # Convolutions as Conv2d (1×k) in channels-last order: the fastest path on a CPU.
        self.conv1 = nn.Conv2d(1, width, (1, kernel))
        self.norm1 = keras_norm(nn.BatchNorm2d, width)
        self.conv2 = nn.Conv2d(width, width, (1, kernel))
        self.norm2 = keras_norm(nn.BatchNorm2d, width)
        self.dropout = nn.Dropout(0.2)
        self.squeeze = nn.Linear(width, width // reduction)
        self.excite = nn.Linear(width // reduction, width)
        self.spatial = nn.Conv2d(2, 1, (1, kernel), padding=(0, kernel // 2), bias=False)
        self.dense = nn.Linear(width * (length - 2 * (kernel - 1)), 64)
        self.norm3 = keras_norm(nn.BatchNorm1d, 64)
        self.classify = nn.Linear(64, labels)
        for layer in (self.conv1, self.conv2, self.dense, self.classify):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.squeeze, self.excite, self.spatial):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.squeeze.bias)
        nn.init.zeros_(self.excite.bias)

    def groups(self) -> list[dict]:
        """Adam's parameter groups: the gradient of 1e-3 · Σw² is 2e-3 · w, which is what its weight decay adds."""
        decayed = [self.conv1.weight, self.conv2.weight, self.dense.weight]
        others = [p for p in self.parameters() if all(p is not d for d in decayed)]
        return [{"params": decayed, "weight_decay": 2e-3}, {"params": others, "weight_decay": 0.0}]

    def forward(self, rows: Tensor) -> Tensor:
        x = rows[:, None, None, :].contiguous(memory_format=torch.channels_last)
        x = self.norm1(F.relu(self.conv1(x)))
        x = self.dropout(self.norm2(F.relu(self.conv2(x))))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))) + self.gate(x.amax((2, 3))))[:, :, None, None]
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        x = x * torch.sigmoid(self.spatial(summary))
        return self.classify(self.norm3(F.relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)))))

    def gate(self, pooled: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(pooled)))


def keras_norm(kind: type[nn.Module], width: int) -> nn.Module:
    """Batch normalisation with Keras's constants: epsilon 1e-3, moving averages that keep 0.99."""
    return kind(width, eps=1e-3, momentum=0.01)


class FrameNet(nn.Module):
    """Our EmotionNet on [N, T, C] frames whose last value says how many are valid."""

    def __init__(self, channels: int, labels: int):
        super().__init__()
        self.net = EmotionNet(channels, labels)

    def groups(self) -> list[dict]:
        return [{"params": list(self.parameters()), "weight_decay": 0.01}]

    def forward(self, frames: Tensor) -> Tensor:
        """A frame of NaN is not there: `scaled` puts them behind the recording's end."""
        valid = ~torch.isnan(frames[:, :, 0])
        x = torch.nan_to_num(frames).transpose(1, 2)[:, :, None, :].contiguous(memory_format=torch.channels_last)
        return self.net(x, valid[:, None, None, :].float())


@dataclass
class Rows:
    """All rows of one corpus, and what stands where."""

    x: np.ndarray
    y: np.ndarray
    labels: list[str]
    recording: np.ndarray
    speaker: np.ndarray
    copy: np.ndarray


def read_rows(path: Path, features: str) -> Rows:
    if not path.exists():
        raise SystemExit(f"{path} does not exist: run training/paper_features.py first")
    with np.load(path) as stored:
        x = stored[features].astype(np.float32)
        if features == "frames":
            x = x[:, : x.shape[1] // STRIDE * STRIDE]
            x[np.arange(x.shape[1]) >= stored["valid"][:, None]] = np.nan
        labels, y = np.unique(stored["emotion"], return_inverse=True)
        return Rows(x, y, labels.tolist(), stored["recording"], stored["speaker"], stored["copy"])


def split_rows(rows: Rows, kind: str, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Train and test row numbers. `rows`: scikit-learn's train_test_split(test_size=0.2, random_state=42)."""
    count = len(rows.y)
    if kind == "rows":
        order = np.random.RandomState(SEED).permutation(count)
        tested = math.ceil(0.2 * count)
        return order[tested:], order[:tested]
    speakers = np.unique(rows.speaker)
    dealt = np.random.RandomState(SEED).permutation(len(speakers)) % min(SPEAKER_FOLDS, len(speakers))
    held = np.isin(rows.speaker, speakers[dealt == fold])
    return np.flatnonzero(~held), np.flatnonzero(held)


def scaled(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance by the training rows: per column, of frames per channel over valid frames."""
    axes = tuple(range(x.ndim - 1))
    mean, std = np.nanmean(x[train], axes, dtype=np.float64), np.nanstd(x[train], axes, dtype=np.float64)
    return ((x - mean) / np.where(std == 0, 1, std)).astype(np.float32)


def predict(model: nn.Module, x: Tensor, bf16: bool) -> np.ndarray:
    """Probabilities [N, labels]."""
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return np.concatenate([torch.softmax(model(part).double(), 1).numpy() for part in x.split(64)])


def judged(truth: np.ndarray, guess: np.ndarray, labels: int) -> dict[str, float]:
    """Weighted accuracy, unweighted average recall, macro-F1, over the labels that occur in truth."""
    matrix = np.zeros((labels, labels))
    np.add.at(matrix, (truth, guess), 1)
    said, meant, right = matrix.sum(0), matrix.sum(1), np.diag(matrix)
    present = meant > 0
    return {
        "wa": float(right.sum() / matrix.sum()),
        "uar": float((right[present] / meant[present]).mean()),
        "macroF1": float((2 * right[present] / (said + meant)[present]).mean()),
    }


def interval(truth: np.ndarray, guess: np.ndarray, labels: int, groups: np.ndarray) -> dict[str, list[float]]:
    """95 % bootstrap intervals; whole groups are drawn, since rows of one recording are no independent draws."""
    random = np.random.default_rng(1)
    _, place = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(place == k) for k in range(place.max() + 1)]
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([members[k] for k in random.integers(len(members), size=len(members))])
        drawn.append(judged(truth[rows], guess[rows], labels))
    return {
        name: [round(float(q), 4) for q in np.quantile([d[name] for d in drawn], [0.025, 0.975])] for name in drawn[0]
    }


def calibration_error(truth: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    place = np.minimum((top * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(place, top - right, bins)).sum() / len(truth))


def report(rows: Rows, train: np.ndarray, test: np.ndarray, probabilities: np.ndarray) -> dict:
    truth, guess, count = rows.y[test], probabilities.argmax(1), len(rows.labels)
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (truth, guess), 1)
    sibling = np.isin(rows.recording[test], rows.recording[train])
    right = guess == truth
    unchanged = rows.copy[test] == 0
    said_by = rows.speaker[test]
    figures: dict = {
        "count": {"train": len(train), "test": len(test)},
        **{name: round(value, 4) for name, value in judged(truth, guess, count).items()},
        "interval95": interval(truth, guess, count, rows.recording[test]),
        "ece": round(calibration_error(truth, probabilities), 4),
        "asIsCopiesOnly": {
            name: round(value, 4) for name, value in judged(truth[unchanged], guess[unchanged], count).items()
        },
        "siblingInTraining": round(float(sibling.mean()), 4),
        "waWithSibling": round(float(right[sibling].mean()), 4) if sibling.any() else None,
        "waWithoutSibling": round(float(right[~sibling].mean()), 4) if not sibling.all() else None,
        "speakerInTraining": round(float(np.isin(said_by, rows.speaker[train]).mean()), 4),
        "labels": rows.labels,
        "confusion": matrix.tolist(),
    }
    if len(set(said_by)) > 1:
        figures["interval95OverSpeakers"] = interval(truth, guess, count, said_by)
    return figures


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="CORPUS.npz of paper_features.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", choices=("paper", "ours"), default="paper")
    parser.add_argument("--features", choices=("mfcc", "chroma", "frames"), help="default: mfcc, of ours frames")
    parser.add_argument("--split", choices=("rows", "speaker"), default="rows")
    parser.add_argument("--fold", type=int, default=0, help=f"which of {SPEAKER_FOLDS} parts of the speakers is held out")
    parser.add_argument("--epochs", type=int, help="default: 100, ours 60")
    parser.add_argument("--rate", type=float, help="default: 1e-5, ours 2e-3")
    parser.add_argument("--batch", type=int, help="default: 16, ours 64")
    parser.add_argument("--judge-every", type=int, default=5, help="epochs between looks at the test rows")
    parser.add_argument("--bf16", action="store_true", help="faster where the processor has AVX512-BF16")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name, value in DEFAULTS[args.network].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if (args.network == "ours") != (args.features == "frames"):
        parser.error("ours learns from frames, the paper's network from mfcc or chroma")
    return args


def batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """A last batch of one row joins its neighbour: batch normalisation needs two."""
    parts = [order[at : at + size] for at in range(0, len(order), size)]
    return parts if len(parts) < 2 or len(parts[-1]) > 1 else [*parts[:-2], np.concatenate(parts[-2:])]


class Run:
    """One network, its optimizer, and the file they are kept in."""

    def __init__(self, args: argparse.Namespace, rows: Rows, steps: int):
        torch.manual_seed(SEED)
        labels = len(rows.labels)
        # What may not change between two starts of one run.
        self.identity = {"rows": args.rows.name} | {
            key: getattr(args, key) for key in ("network", "features", "split", "fold", "rate", "batch")
        }
        self.checkpoint = args.out / "checkpoint.pt"
        if args.network == "paper":
            self.model: nn.Module = PaperNet(rows.x.shape[1], labels).to(memory_format=torch.channels_last)
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                self.model.groups(), lr=args.rate, eps=1e-7, fused=True
            )
            self.schedule = None
        else:
            self.model = FrameNet(rows.x.shape[2], labels).to(memory_format=torch.channels_last)
            self.optimizer = torch.optim.AdamW(self.model.groups(), lr=args.rate)
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, args.rate, total_steps=args.epochs * steps, pct_start=0.15, final_div_factor=100
            )
            self.identity["epochs"] = args.epochs

    def resume(self) -> int:
        """Epochs done before."""
        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint, weights_only=False)
        if state["identity"] != self.identity:
            raise SystemExit(f"{self.checkpoint} is of another run: {state['identity']}; choose another --out")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        return state["epoch"]

    def save(self, epoch: int) -> None:
        state = {
            "identity": self.identity,
            "epoch": epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
        }
        # Renamed when it is whole: a run that is ended while it writes goes on from the epoch before.
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def epoch(self, x: Tensor, y: Tensor, train: np.ndarray, number: int, batch: int, bf16: bool) -> float:
        """One pass; seeded by its number, so that a run that was interrupted sees the same order. Returns the loss."""
        torch.manual_seed(SEED + number)
        order = np.random.default_rng([SEED, number]).permutation(train)
        self.model.train()
        total = 0.0
        for part in tqdm(batches(order, batch), desc=f"epoch {number}", unit="step", leave=False, disable=None):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = self.model(x[part])
            loss = F.cross_entropy(logits.float(), y[part])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()
            total += loss.item() * len(part)
        return total / len(train)


def keep_memory() -> None:
    """glibc gives every large tensor back to the system and asks for it again: a third of a step's time, unless told."""
    if sys.platform == "linux":
        trim_threshold, mmap_threshold = -1, -3
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(mmap_threshold, 1 << 30)
            libc.mallopt(trim_threshold, (1 << 31) - 1)


def main() -> None:
    args = parse()
    keep_memory()
    torch.set_num_threads(args.threads)
    rows = read_rows(args.rows, args.features)
    train, test = split_rows(rows, args.split, args.fold)
    if len(train) < 2 or len(test) == 0:
        raise SystemExit(f"{args.rows} leaves {len(train)} rows to train on and {len(test)} to test on")
    x, y = torch.from_numpy(scaled(rows.x, train)), torch.from_numpy(rows.y)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args, rows, len(batches(train, args.batch)))
    first = run.resume()
    print(f"{count_parameters(run.model)} parameters, {len(train)} rows train, {len(test)} test, from epoch {first + 1}")
    for number in range(first + 1, args.epochs + 1):
        started = time.time()
        loss = run.epoch(x, y, train, number, args.batch, args.bf16)
        line: dict = {"epoch": number, "loss": round(loss, 4), "seconds": round(time.time() - started, 1)}
        if number % args.judge_every == 0 or number == args.epochs:
            guess = predict(run.model, x[test], args.bf16).argmax(1)
            line |= {k: round(v, 4) for k, v in judged(rows.y[test], guess, len(rows.labels)).items()}
        run.save(number)
        print(json.dumps(line), flush=True)
        with open(args.out / "log.jsonl", "a") as log:
            log.write(json.dumps(line) + "\n")
    # The last epoch, not the best one: the test rows are also the paper's validation rows.
    figures = run.identity | {"epochs": args.epochs, "seed": SEED, "bf16": args.bf16}
    figures |= report(rows, train, test, predict(run.model, x[test], args.bf16))
    (args.out / "report.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw_paper(figures, args.out / "confusion.svg")
    print(json.dumps({key: value for key, value in figures.items() if key != "confusion"}, indent=1))
    for label, row in zip(rows.labels, figures["confusion"], strict=True):
        print(f"{label:>9}" + "".join(f"{said:6}" for said in row))


if __name__ == "__main__":
    main()
