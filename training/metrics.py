"""What is computed of judgements: UAR, macro-F1, confusion, calibration, intervals. Making judgements is evaluate.py."""

import numpy as np

from data import LABELS, MERGED


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def merged(logits: np.ndarray) -> np.ndarray:
    """Logits of what was trained → of the product's seven labels: a label's parts are summed as probabilities."""
    kept = MERGED >= 0
    peak = logits[:, kept].max(-1, keepdims=True)
    total = np.zeros((len(logits), len(LABELS)))
    np.add.at(total.T, MERGED[kept], np.exp(logits[:, kept] - peak).T)
    return np.log(total) + peak


def guesses(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The likeliest label among those that occur: a corpus is judged over its own labels, as published figures are."""
    present = np.unique(truth)
    return present[probabilities[:, present].argmax(1)]


def uar(truth: np.ndarray, probabilities: np.ndarray, free: bool = False) -> float:
    """Unweighted average recall: the mean over labels of the share found. `free`: any label may be guessed, as live."""
    guess = probabilities.argmax(1) if free else guesses(truth, probabilities)
    return float(np.mean([np.mean(guess[truth == k] == k) for k in np.unique(truth)]))


def accuracy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Weighted accuracy (WA): the share of all that is right."""
    return float(np.mean(guesses(truth, probabilities) == truth))


def macro_f1(truth: np.ndarray, probabilities: np.ndarray) -> float:
    guess = guesses(truth, probabilities)
    scores = []
    for k in np.unique(truth):
        hits = np.sum((guess == k) & (truth == k))
        scores.append(2 * hits / (np.sum(guess == k) + np.sum(truth == k)))
    return float(np.mean(scores))


def confusion(truth: np.ndarray, probabilities: np.ndarray) -> list[list[int]]:
    """Rows: truth; columns: guess; both the labels that occur, in order."""
    present = np.unique(truth)
    guess = guesses(truth, probabilities)
    return [[int(np.sum((truth == a) & (guess == b))) for b in present] for a in present]


def calibration_error(truth: np.ndarray, probabilities: np.ndarray, weight: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (ECE) of the top probability."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    place = np.minimum((top * bins).astype(int), bins - 1)
    gap = np.bincount(place, weight * (top - right), bins)
    return float(np.abs(gap).sum() / weight.sum())


def reliability(truth: np.ndarray, probabilities: np.ndarray, weight: np.ndarray, bins: int = 10) -> list[dict]:
    """For each tenth of the top probability: its mean, how often it was right, and its share of the windows."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    place = np.minimum((top * bins).astype(int), bins - 1)
    return [
        {
            "probability": round(float(np.average(top[here], weights=weight[here])), 4),
            "accuracy": round(float(np.average(right[here], weights=weight[here])), 4),
            "share": round(float(weight[here].sum() / weight.sum()), 4),
        }
        for here in (place == b for b in range(bins))
        if here.any()
    ]


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


def bootstrap(truth: np.ndarray, probabilities: np.ndarray, rounds: int = 1000) -> list[float]:
    """95 % interval of the UAR, clips drawn with replacement within each label."""
    random = np.random.default_rng(1)
    right = guesses(truth, probabilities) == truth
    means = np.mean(
        [random.binomial(np.sum(truth == k), right[truth == k].mean(), rounds) / np.sum(truth == k) for k in np.unique(truth)],
        0,
    )
    return [round(float(x), 4) for x in np.quantile(means, [0.025, 0.975])]
