"""Writes the figures of a package's model.json into its MODEL_CARD.md, between the two `figures` marks.

Run: python training/card.py models/tonetap-base
"""

import json
import sys
from pathlib import Path

BEGIN, END = "<!-- figures: training/card.py -->", "<!-- end of figures -->"
COLUMNS = {
    "warm_clip": "recording, warm",
    "cold_clip": "recording, cold",
    "warm_window": "3 s, warm",
    "cold_window": "3 s, cold",
    "warm_first_1s": "first 1 s, warm",
    "cold_first_1s": "first 1 s, cold",
}


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def rule(columns: int) -> str:
    return "|---" + "|---:" * (columns - 1) + "|"


def uar_table(corpora: dict) -> list[str]:
    lines = [
        row("Corpus", "recordings", "speakers", "labels", *COLUMNS.values(), "95 % of recording, warm"),
        rule(len(COLUMNS) + 5),
    ]
    for name, entry in corpora.items():
        low, high = entry["interval"]
        cells = [percent(entry["uar"][mode]) for mode in COLUMNS]
        counts = (entry["clips"], entry["speakers"], len(entry["labels"]))
        lines.append(row(name, *counts, *cells, f"{percent(low)}–{percent(high)}"))
    return lines


def alone(name: str, entry: dict) -> str:
    low, high = (percent(share) for share in entry["interval"])
    return (
        f"{name}, each of its {entry['speakers']} voices held out by itself (leave-one-speaker-out): whole recordings "
        f"{percent(entry['uar']['warm_clip'])} warm ({low}–{high}), {percent(entry['uar']['cold_clip'])} cold; "
        f"accuracy {percent(entry['accuracy']['warm_clip'])}."
    )


def accuracy_table(corpora: dict) -> list[str]:
    lines = [
        row(
            "Corpus",
            "accuracy (WA), warm",
            "WA, cold",
            "macro-F1, warm",
            "UAR when any of the seven may be answered, warm",
            "calibration error of a window, warm",
            "UAR of each speaker, warm",
            "UAR of women, of men, warm",
        ),
        rule(8),
    ]
    for name, entry in corpora.items():
        accuracy = entry["accuracy"]
        cells = (accuracy["warm_clip"], accuracy["cold_clip"], entry["macroF1"], entry["seven"]["uar"], entry["ece"])
        spread = entry["speakerUar"].values()
        sexes = (entry["sexUar"].get(sex) for sex in ("female", "male"))
        lines.append(
            row(
                name,
                *map(percent, cells),
                f"{percent(min(spread))}–{percent(max(spread))}",
                ", ".join(percent(of["uar"]) if of else "–" for of in sexes) if entry["sexUar"] else "",
            )
        )
    return lines


def line_table(corpora: dict, lines_figures: dict) -> list[str]:
    # Only the same recordings can be compared: evaluate.py leaves the other corpora out of a line.
    names = [name for name in corpora if any(name in entry for entry in lines_figures.values())]
    lines = [row("Line", *(f"{name}: UAR, same label (of those decided)" for name in names)), rule(len(names) + 1)]
    lines.append(row("clean", *(percent(corpora[name]["uar"]["warm_clip"]) for name in names)))
    for line, entries in lines_figures.items():
        cells = (entries.get(name) for name in names)
        lines.append(row(line, *(f"{percent(e['warm_clip'])}, {percent(e['unchanged'])} ({percent(e['decidedUnchanged'])})" if e else "" for e in cells)))
    return lines


def confusion_table(entry: dict) -> list[str]:
    labels = entry["labels"]
    lines = [row("said ↓ judged →", *labels), rule(len(labels) + 1)]
    lines += [row(label, *counts) for label, counts in zip(labels, entry["confusion"], strict=True)]
    return lines


def figures(manifest: dict) -> str:
    metrics = manifest["metrics"]
    corpora = metrics["corpora"]
    network = metrics["network"]
    parts = [
        f"{network['parameters']:,} parameters; {network['multiplyAddsPerWindow'] / 1e6:.1f} M multiply-adds a window; "
        f"{network['microsecondsPerWindow']} µs of one core a window at batch 8 (ONNX Runtime, CPU, AMD EPYC, shared).",
        "",
        f"{metrics['protocol']} Measured by `{metrics['command']}`.",
        "",
        "### UAR, %",
        "",
        *uar_table(corpora),
        "",
        *(sentence for name, entry in metrics.get("leaveOneSpeakerOut", {}).items() for sentence in (alone(name, entry), "")),
        "### Accuracy and calibration, %",
        "",
        *accuracy_table(corpora),
        "",
        f"Logits are divided by {manifest['temperature']}, fitted on the same out-of-fold windows. Over all corpora, each "
        f"weighing the same, the calibration error of a window's top probability is {percent(metrics['ece'])} points.",
        "",
        "### Lines: UAR of whole recordings, warm, %",
        "",
        "Same label: the share of recordings to which the line gives the label that they have without it; in brackets, of "
        "those on which the model does not abstain without it.",
        "",
        *line_table(corpora, metrics["lines"]),
        "",
        "### How sure, how right",
        "",
        f"The model abstains below {manifest['abstainBelow']}: the least sure fifth of windows.",
        "",
        row("top probability at least", "windows judged, %", "of those right, %"),
        rule(3),
        *(
            row(point["threshold"], percent(point["coverage"]), percent(point["accuracy"]))
            for point in metrics["riskCoverage"]
        ),
    ]
    for name, entry in corpora.items():
        parts += ["", f"### {name}: recordings, warm", "", *confusion_table(entry)]
    return "\n".join(parts)


def main() -> None:
    folder = Path(sys.argv[1])
    manifest = json.loads((folder / "model.json").read_text())
    card = (folder / "MODEL_CARD.md").read_text()
    head, _, rest = card.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not rest or not tail:
        raise SystemExit(f"{folder / 'MODEL_CARD.md'} lacks the marks {BEGIN} and {END}")
    (folder / "MODEL_CARD.md").write_text(f"{head}{BEGIN}\n\n{figures(manifest)}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
