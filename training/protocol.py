"""The protocols, one command each: trains what is missing, judges, prints, writes JSON and SVG.

Run: python training/protocol.py speaker-independent --size base
     python training/protocol.py loso --corpus emodb_first2s   (after it: each voice that shares its fold by itself, the last stages)
     python training/protocol.py cross-corpus --size alone   (base: seven times four networks)
     python training/protocol.py line          (after speaker-independent; trains nothing)
     python training/protocol.py adaptation    (the same; how fast it follows a voice)
     python training/paper.py …                                    (the paper's own split over rows)

Options after `--` go to train.py. A run that was broken off goes on from its last checkpoint.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from data import FOLDS, folds_of_voices
from evaluate import adaptation, fold_runs, judge_again, print_summary, summary, voice_runs
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


def holds(protocol: str, corpus: str, features: Path) -> list[str]:
    """Who is held out, run by run."""
    if protocol == "cross-corpus":
        return [f"corpus:{name}" for name in CORPORA]
    if protocol == "loso":
        return [f"speaker:{corpus}:{name}" for name in sharing_a_fold(corpus, features)]
    return [f"fold:{k}" for k in range(FOLDS)]


def sharing_a_fold(corpus: str, features: Path) -> list[str]:
    """Voices of a corpus that are not alone in their fold. The others are held out by themselves there already."""
    everybody = folds_of_voices(features)
    folds = {speaker: fold for (of, speaker), fold in everybody.items() if of == corpus}
    if not folds:
        known = ", ".join(sorted({of for of, _ in everybody}))
        raise SystemExit(f"--corpus {corpus}: {features / 'clean.json'} has no such corpus, only {known}")
    count = Counter(folds.values())
    sharing = sorted(speaker for speaker, fold in folds.items() if count[fold] > 1)
    if not sharing:
        raise SystemExit(f"{corpus}: each of its {len(folds)} voices is alone in its fold; speaker-independent is loso already")
    return sharing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["speaker-independent", "loso", "cross-corpus", "line", "adaptation"])
    parser.add_argument("--size", choices=("base", "small", "alone"), default="base")
    parser.add_argument("--corpus", default="emodb_first2s", help="of loso")
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
    if args.protocol == "loso" and len(fold_runs(folder)) < FOLDS:
        raise SystemExit(f"loso is for those who share a fold: first protocol.py speaker-independent, {folder} lacks its {FOLDS} folds")
    runs = {folder / run_name(hold): hold for hold in holds(args.protocol, args.corpus, args.features)}
    if args.protocol == "line":
        lines = [line for line in LINES if (args.features / f"{line}.json").exists()]
        for run in runs:
            judge_again(run, lines, args.features)
    else:
        for hold in runs.values():
            train(args.size, hold, args.out, options, args.features)
    is_loso = args.protocol == "loso"
    judged = summary(fold_runs(folder) if is_loso else list(runs), lines, voice_runs(folder) if is_loso else ())
    print_summary(judged)
    (folder / f"{args.protocol}.json").write_text(json.dumps(judged, indent=1) + "\n")
    draw(judged, folder / "pictures")


if __name__ == "__main__":
    main()
