"""Judges a network on clips it never saw: UAR, accuracy, confusion, calibration. Also the out-of-fold report.

Run: python training/evaluate.py --runs .cache/runs/final   (all folds → figures, temperature, threshold)
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from data import CORPUS_NAMES, FOLDS, LABELS, Clip, FeatureSet, Normalisation, evaluation_windows

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


def predict(model: torch.nn.Module, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    model.eval()
    logits = []
    with torch.no_grad():
        for at in range(0, len(features), 64):
            x = torch.from_numpy(features[at : at + 64]).contiguous(memory_format=torch.channels_last)
            logits.append(model(x, torch.from_numpy(mask[at : at + 64])).float().numpy())
    return np.concatenate(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def mode_logits(
    model: torch.nn.Module, feature_set: FeatureSet, clips: list[Clip], normalisation: Normalisation, mode: str
) -> tuple[np.ndarray, np.ndarray]:
    """One row a judgement and the clip number it belongs to; of a clip mode, still one row a window."""
    logits, owners = [], []
    for at in range(0, len(clips), 300):
        windows = evaluation_windows(feature_set, clips[at : at + 300], normalisation, **MODES[mode])
        logits.append(predict(model, windows.features, windows.mask))
        owners.append(windows.clip + at)
    return np.concatenate(logits), np.concatenate(owners)


def clip_probabilities(logits: np.ndarray, owners: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Mean probability over a clip's windows: [clips, labels]."""
    probabilities = softmax(logits / temperature)
    total = np.zeros((owners.max() + 1, logits.shape[1]))
    np.add.at(total, owners, probabilities)
    return total / total.sum(1, keepdims=True)


def recalls(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Recall of each label that occurs; NaN for the others."""
    return np.array(
        [np.mean(guess[truth == k] == k) if np.any(truth == k) else np.nan for k in range(len(LABELS))]
    )


def uar(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Unweighted average recall over the labels that the corpus has. Guesses go only to those."""
    present = np.unique(truth)
    guess = present[probabilities[:, present].argmax(1)]
    return float(np.nanmean(recalls(truth, guess)))


def accuracy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    present = np.unique(truth)
    return float(np.mean(present[probabilities[:, present].argmax(1)] == truth))


def confusion(truth: np.ndarray, probabilities: np.ndarray) -> list[list[int]]:
    """Rows: truth; columns: guess; in the order of LABELS."""
    matrix = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(matrix, (truth, probabilities.argmax(1)), 1)
    return matrix.tolist()


def calibration_error(truth: np.ndarray, probabilities: np.ndarray, weight: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the top probability."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    place = np.minimum((top * bins).astype(int), bins - 1)
    gap = np.bincount(place, weight * (top - right), bins)
    return float(np.abs(gap).sum() / weight.sum())


def fit_temperature(logits: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    """The divisor of the logits with the least weighted cross-entropy, by golden-section search."""

    def loss(log_t: float) -> float:
        p = softmax(logits / np.exp(log_t))[np.arange(len(truth)), truth]
        return float(-(weight * np.log(p + 1e-12)).sum() / weight.sum())

    low, high = np.log(0.2), np.log(5)
    for _ in range(40):
        a, b = high - 0.618 * (high - low), low + 0.618 * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(np.exp((low + high) / 2))


def risk_coverage(truth: np.ndarray, probabilities: np.ndarray, weight: np.ndarray) -> list[dict[str, float]]:
    """For thresholds on the top probability: the share that is judged and how often that is right."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    curve = []
    for threshold in np.arange(0.2, 0.95, 0.05):
        kept = top >= threshold
        if kept.any():
            curve.append(
                {
                    "threshold": round(float(threshold), 2),
                    "coverage": round(float(weight[kept].sum() / weight.sum()), 4),
                    "accuracy": round(float(np.average(right[kept], weights=weight[kept])), 4),
                }
            )
    return curve


def abstain_threshold(probabilities: np.ndarray, weight: np.ndarray, share: float = 0.2) -> float:
    """The top probability below which the least sure `share` of windows lies."""
    top = probabilities.max(1)
    order = np.argsort(top)
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(top[order][np.searchsorted(reached, share)])


def quick_report(
    model: torch.nn.Module, feature_set: FeatureSet, clips: list[Clip], normalisation: Normalisation
) -> dict[str, dict[str, float]]:
    """UAR per corpus, warm and cold, whole clips: enough to compare trials."""
    truth = np.array([clip.label for clip in clips])
    corpus = np.array([clip.corpus for clip in clips])
    report: dict[str, dict[str, float]] = {}
    for mode in ("warm_clip", "cold_clip"):
        logits, owners = mode_logits(model, feature_set, clips, normalisation, mode)
        probabilities = clip_probabilities(logits, owners)
        report[mode] = {
            name: round(uar(truth[corpus == name], probabilities[corpus == name]), 4) for name in sorted(set(corpus))
        }
    return report


def load_folds(folder: Path, feature_set: str) -> dict:
    """Joins the out-of-fold logits that train.py left: {mode: (logits, owner)}, truth, corpus, speaker."""
    joined: dict = {"truth": [], "corpus": [], "speaker": [], "modes": {mode: ([], []) for mode in MODES}}
    base = 0
    paths = sorted(folder.glob(f"fold*/oof-{feature_set}.npz"))
    for path in paths:
        stored = np.load(path)
        for key in ("truth", "corpus", "speaker"):
            joined[key].append(stored[key])
        for mode in MODES:
            joined["modes"][mode][0].append(stored[f"{mode}_logits"])
            joined["modes"][mode][1].append(stored[f"{mode}_owner"] + base)
        base += len(stored["truth"])
    for key in ("truth", "corpus", "speaker"):
        joined[key] = np.concatenate(joined[key])
    joined["modes"] = {m: (np.concatenate(a), np.concatenate(b)) for m, (a, b) in joined["modes"].items()}
    joined["folds"] = len(paths)
    return joined


def bootstrap(truth: np.ndarray, probabilities: np.ndarray, rounds: int = 1000) -> list[float]:
    """95 % interval of the UAR, clips drawn with replacement within each label."""
    random = np.random.default_rng(1)
    present = np.unique(truth)
    right = present[probabilities[:, present].argmax(1)] == truth
    means = [
        np.mean([random.choice(right[truth == k], np.sum(truth == k)).mean() for k in present]) for _ in range(rounds)
    ]
    return [round(float(x), 4) for x in np.quantile(means, [0.025, 0.975])]


def corpus_figures(folds: dict, name: str, temperature: float) -> dict:
    """Every figure of one corpus from its out-of-fold logits."""
    truth, corpus = folds["truth"], folds["corpus"]
    mine = corpus == name
    figures: dict = {
        "clips": int(mine.sum()),
        "speakers": len(set(folds["speaker"][mine])),
        "labels": len(set(truth[mine])),
        "uar": {},
        "accuracy": {},
    }
    for mode, (logits, owners) in folds["modes"].items():
        here = corpus[owners] == name
        if mode.endswith("clip"):
            p, t = clip_probabilities(logits, owners, temperature)[mine], truth[mine]
        else:
            p, t = softmax(logits[here] / temperature), truth[owners[here]]
        figures["uar"][mode] = round(uar(t, p), 4)
        figures["accuracy"][mode] = round(accuracy(t, p), 4)
        if mode == "warm_clip":
            figures["interval"] = bootstrap(t, p)
            figures["confusion"] = confusion(t, p)
        if mode == "warm_window":
            figures["ece"] = round(calibration_error(t, p, np.ones(len(t))), 4)
    return figures


def summary(folder: Path, lines: list[str]) -> dict:
    """What export.py packs: temperature, threshold and the figures of the model card, all out-of-fold."""
    folds = load_folds(folder, lines[0])
    truth, corpus = folds["truth"], folds["corpus"]
    names = sorted(set(corpus))
    # Warm and cold windows together, as a call has them; each corpus weighs the same, however many windows it has.
    logits = np.concatenate([folds["modes"][mode][0] for mode in CALIBRATION_MODES])
    owners = np.concatenate([folds["modes"][mode][1] for mode in CALIBRATION_MODES])
    sizes = {name: np.sum(corpus[owners] == name) for name in names}
    weight = np.array([1.0 / sizes[name] for name in corpus[owners]])
    temperature = fit_temperature(logits, truth[owners], weight)
    p, t = softmax(logits / temperature), truth[owners]
    metrics: dict = {
        "protocol": f"Speaker-disjoint: {folds['folds']} of {FOLDS} folds, each speaker judged by a network that never "
        "heard that voice.",
        "command": f"python training/evaluate.py --runs DIR --lines {','.join(lines)}",
        "folds": folds["folds"],
        "ece": round(calibration_error(t, p, weight), 4),
        "corpora": {CORPUS_NAMES.get(name, name): corpus_figures(folds, name, temperature) for name in names},
        "lines": {},
        "riskCoverage": risk_coverage(t, p, weight),
    }
    for line in lines[1:]:
        other = load_folds(folder, line)
        metrics["lines"][line] = {
            CORPUS_NAMES.get(name, name): {
                "warm_clip": (figures := corpus_figures(other, name, temperature))["uar"]["warm_clip"],
                "cold_clip": figures["uar"]["cold_clip"],
                "clips": figures["clips"],
            }
            for name in names
            if name in other["corpus"]
        }
    return {
        "temperature": round(temperature, 4),
        "abstainBelow": round(abstain_threshold(p, weight), 3),
        "metrics": metrics,
    }


def print_summary(judged: dict) -> None:
    metrics = judged["metrics"]
    print(f"{metrics['folds']} folds; temperature {judged['temperature']}, ECE {metrics['ece']}")
    print(f"{'UAR':12}" + "".join(f"{mode:>15}" for mode in MODES))
    for name, entry in metrics["corpora"].items():
        print(f"{name:12}" + "".join(f"{entry['uar'][mode]:15.3f}" for mode in MODES) + f"  {entry['interval']}")
    for line, entries in metrics["lines"].items():
        print(f"{line:12}" + "".join(f"  {name} {entry['warm_clip']:.3f}" for name, entry in entries.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder with fold0, fold1, … as train.py left them")
    parser.add_argument("--lines", default="clean", help="feature sets; the first one is calibrated on")
    parser.add_argument("--json", type=Path, help="for export.py --metrics")
    options = parser.parse_args()
    result = summary(options.runs, options.lines.split(","))
    print_summary(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
