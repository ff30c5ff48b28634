"""The protocols, one command each: trains what is missing, judges, prints, writes JSON and SVG.

Run: python training/protocol.py speaker-independent --size base
     python training/protocol.py cross-corpus --size alone   (base: seven times four networks)
     python training/protocol.py line          (after speaker-independent; trains nothing)
     python training/protocol.py adaptation    (the same; how fast it follows a voice)
     python training/paper.py …                                    (the paper's own split over rows)

Options after `--` go to train.py. A run that was broken off goes on from its last checkpoint.
"""

import argparse
import json
import sys
from pathlib import Path

from data import FOLDS
from evaluate import adaptation, judge_again, print_summary, summary
from pictures import draw, draw_adaptation
from recipe import run_name, train

CORPORA = ["ravdess", "savee", "emovo", "emodb_first2s", "tess", "turevdb", "banglaser"]
LINES = [
    "clean",
    "opus24",
    "opus16",
    "opus12",
    "g711",
    "opus16-loss5",
    "opus16-loss10",
    "noise20",
    "noise10",
    "gain-20",
]


def holds(protocol: str) -> list[str]:
    """Who is held out, run by run."""
    return [f"corpus:{name}" for name in CORPORA] if protocol == "cross-corpus" else [f"fold:{k}" for k in range(FOLDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["speaker-independent", "cross-corpus", "line", "adaptation"])
    parser.add_argument("--size", choices=("base", "small", "alone"), default="base")
    parser.add_argument("--out", type=Path, default=Path(".cache/runs"), help="as recipe.py leaves it")
    parser.add_argument("--features", type=Path, default=Path(".cache/features"))
    # argparse takes no list behind `--` once a positional argument stood before it.
    mark = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args, options = parser.parse_args(sys.argv[1:mark]), sys.argv[mark + 1 :]
    folder = args.out / args.size
    if args.protocol == "adaptation":
        curves = adaptation(folder, args.features)
        for name, curve in curves.items():
            print(f"{name:10}" + "".join(f"  {heard} s {share:.3f}" for heard, share in curve.items()))
        (folder / "adaptation.json").write_text(json.dumps(curves, indent=1) + "\n")
        (folder / "pictures").mkdir(exist_ok=True)
        draw_adaptation(curves, folder / "pictures" / "adaptation.svg")
        return
    lines = ["clean"]
    runs = {folder / run_name(hold): hold for hold in holds(args.protocol)}
    for run, hold in runs.items():
        if args.protocol == "line":
            lines = [line for line in LINES if (args.features / f"{line}.json").exists()]
            judge_again(run, lines, args.features)
        else:
            train(args.size, hold, args.out, ["--features", str(args.features), *options])
    judged = summary(list(runs), lines)
    print_summary(judged)
    (folder / f"{args.protocol}.json").write_text(json.dumps(judged, indent=1) + "\n")
    draw(judged, folder / "pictures")


if __name__ == "__main__":
    main()
