"""The protocols, one command each: trains what is missing, judges, prints, writes JSON and SVG.

Run: python training/protocol.py speaker-independent --out .cache/runs/base
     python training/protocol.py cross-corpus --out .cache/runs/across
     python training/protocol.py line --out .cache/runs/base      (after speaker-independent; trains nothing)
     python training/protocol.py adaptation --out .cache/runs/base  (the same; how fast it follows a voice)
     python training/paper.py …                                    (the paper's own split over rows)

Options after `--` go to train.py. A run that was broken off goes on from its last checkpoint.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from data import FOLDS
from evaluate import adaptation, judge_again, print_summary, summary
from pictures import draw, draw_adaptation

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


def holds(protocol: str) -> dict[str, str]:
    """Folder of a run → who is held out of it."""
    if protocol == "cross-corpus":
        return {name: f"corpus:{name}" for name in CORPORA}
    return {f"fold{k}": f"fold:{k}" for k in range(FOLDS)}


def train(out: Path, hold: str, options: list[str]) -> None:
    script = Path(__file__).with_name("train.py")
    done = subprocess.run([sys.executable, script, "--hold", hold, "--out", out, *options])
    if done.returncode != 0:
        raise SystemExit(f"training without {hold} ended with {done.returncode}; the same command goes on from there")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["speaker-independent", "cross-corpus", "line", "adaptation"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--features", type=Path, default=Path(".cache/features"))
    # argparse takes no list behind `--` once a positional argument stood before it.
    mark = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args, options = parser.parse_args(sys.argv[1:mark]), sys.argv[mark + 1 :]
    if args.protocol == "adaptation":
        curves = adaptation(args.out, args.features)
        for name, curve in curves.items():
            print(f"{name:10}" + "".join(f"  {heard} s {share:.3f}" for heard, share in curve.items()))
        (args.out / "adaptation.json").write_text(json.dumps(curves, indent=1) + "\n")
        (args.out / "pictures").mkdir(exist_ok=True)
        draw_adaptation(curves, args.out / "pictures" / "adaptation.svg")
        return
    lines = ["clean"]
    for name, hold in holds(args.protocol).items():
        if args.protocol == "line":
            lines = [line for line in LINES if (args.features / f"{line}.json").exists()]
            judge_again(args.out / name, lines, args.features)
        elif not (args.out / name / "oof-clean.npz").exists():
            train(args.out / name, hold, ["--features", str(args.features), *options])
    judged = summary([args.out], lines)
    print_summary(judged)
    (args.out / f"{args.protocol}.json").write_text(json.dumps(judged, indent=1) + "\n")
    draw(judged, args.out / "pictures")


if __name__ == "__main__":
    main()
