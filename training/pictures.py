"""Draws a report: confusion matrices, reliability, risk against coverage; SVG files. The figures are evaluate.py's."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

# Text stays text, and the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tonetap", "font.size": 9})


def draw(judged: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    metrics = judged["metrics"]
    for name, entry in metrics["corpora"].items():
        title = f"{name}: UAR {100 * entry['uar']['warm_clip']:.1f} %, share of each row, %"
        save(confusion_figure(entry["labels"], entry["confusion"], title), folder / f"confusion-{name}.svg")
    save(reliability_figure(metrics), folder / "reliability.svg")
    save(coverage_figure(metrics), folder / "risk-coverage.svg")


def draw_paper(report: dict, path: Path) -> None:
    """@param report: of paper.py"""
    corpus, what = report["rows"].removesuffix(".npz"), "rows" if report["split"] == "rows" else "speakers"
    title = f"{corpus}, random {what}: WA {100 * report['wa']:.1f} %, share of each row, %"
    save(confusion_figure(report["labels"], report["confusion"], title), path)


def draw_adaptation(curves: dict[str, dict[str, float]], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(5, 3.6))
    for name, curve in curves.items():
        axes.plot([float(s) for s in curve], [100 * share for share in curve.values()], marker="o", label=name)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks([0, 1, 3, 10, 30, 60], ["0", "1", "3", "10", "30", "60"])
    axes.set_xlabel("seconds of the voice heard before")
    axes.set_ylabel("UAR of recordings, %")
    axes.legend(fontsize=7)
    save(figure, path)


def save(figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def confusion_figure(labels: list[str], confusion: list[list[int]], title: str):
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    figure, axes = pyplot.subplots(figsize=(4.2, 3.8))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("judged")
    axes.set_ylabel("acted")
    axes.set_title(title)
    return figure


def reliability_figure(metrics: dict):
    figure, axes = pyplot.subplots(figsize=(4, 3.6))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    points = metrics["reliability"]
    axes.plot([p["probability"] for p in points], [p["accuracy"] for p in points], marker="o")
    axes.set_xlabel("top probability of a window")
    axes.set_ylabel("how often it was right")
    axes.set_title(f"calibration error {100 * metrics['ece']:.1f} points")
    return figure


def coverage_figure(metrics: dict):
    figure, axes = pyplot.subplots(figsize=(4, 3.6))
    points = metrics["riskCoverage"]
    axes.plot([100 * p["coverage"] for p in points], [100 - 100 * p["accuracy"] for p in points], marker="o")
    axes.set_xlabel("windows judged, %")
    axes.set_ylabel("of those wrong, %")
    axes.set_title("abstaining: risk against coverage")
    return figure
