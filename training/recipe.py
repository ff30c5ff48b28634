"""The recipe of the shipped networks: which one is trained after which, on what, for how long.

A teacher that sees a whole window both ways; `base` learns from it, `small` from `base`, half of the time in other rooms,
noise and throats (augment.py), judged there by what the teacher says of the recording as it is. `base` then goes on twice,
from other seeds, and the mean of the weights is the network (soup.py). None of them ever hears the voices that are held out.

Run: python training/recipe.py --hold none --out .cache/runs     (networks to pack: .cache/runs/base/all, …/small/all)
     python training/recipe.py --hold fold:0 --size base --out .cache/runs
     python training/recipe.py --hold speaker:emodb_first2s:03 --size base   (its last stages; before them, that voice's fold)
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from data import folds_of_voices, holding

# Feature sets and their shares: clean, played slower and faster, coded, noisy.
SETS = {
    "clean": 0.26,
    "clean@0.88": 0.1,
    "clean@0.94": 0.12,
    "clean@1.06": 0.12,
    "clean@1.12": 0.1,
    "opus16": 0.12,
    "g711": 0.1,
    "noise5-25": 0.08,
}

# Without chroma in some samples: codecs leave other pitches in pauses.
ALWAYS = {"hide": "chroma:0.4"}
# Labels as often as each other, and half of what is drawn elsewhere than where it was recorded.
ELSEWHERE = {**ALWAYS, "taught": 0.7, "surroundings": 0.5, "balance": 1}


class Stage(NamedTuple):
    options: dict[str, object]
    """What train.py is told."""
    teachers: Sequence[str] = ()
    start: str | None = None
    """The stage whose weights it begins with."""


class Soup(NamedTuple):
    """The mean of networks that differ by their seed or teacher, and of what they began with; what soup.py is told."""

    of: list[str]
    start: str
    keep: float
    """Share of the start's weights in it."""


STAGES: dict[str, Stage | Soup] = {
    "teacher": Stage({"size": "teacher", "epochs": 45, "open": 0, **ALWAYS}),
    "base-0": Stage({"size": "base", "epochs": 40, **ELSEWHERE, "untilt": 1}, ["teacher"]),
    **{
        f"base-{seed}": Stage({"size": "base", "epochs": 25, "rate": 1.5e-3, **ELSEWHERE, "untilt": 1, "seed": seed}, ["teacher"], "base-0")
        for seed in (2, 3)
    },
    "base": Soup(["base-2", "base-3"], "base-0", 0.2),
    "small": Stage({"size": "small", "epochs": 30, **ELSEWHERE}, ["base"]),
    # Not shipped: what the small network learns without teachers, in a tenth of the time; for protocols of many runs.
    "alone": Stage({"size": "small", "epochs": 25, **ALWAYS}),
}


def run_name(hold: str) -> str:
    """Folder of a run: all, fold0, savee, voice-emodb_first2s-03."""
    kind, _, name = hold.partition(":")
    return {"none": "all", "fold": f"fold{name}", "corpus": name, "speaker": "voice-" + name.replace(":", "-")}[kind]


def hold_before(hold: str, features: Path) -> str:
    """Who the stages before the last do not hear. Of one voice by itself: its fold, whose networks are there already."""
    if not hold.startswith("speaker:"):
        return hold
    _, corpus, speaker = hold.split(":")
    folds = folds_of_voices(features)
    if (corpus, speaker) not in folds:
        known = ", ".join(sorted(name for of, name in folds if of == corpus)) or "none"
        raise SystemExit(f"--hold {hold}: {features / 'clean.json'} has no such voice; of {corpus} it has {known}")
    return f"fold:{folds[(corpus, speaker)]}"


def needed(stage: str) -> list[str]:
    """A stage and those before it, in order."""
    at = STAGES[stage]
    direct = [*(at.of if isinstance(at, Soup) else at.teachers), *([at.start] if at.start else [])]
    before = [name for other in direct for name in needed(other)]
    return list(dict.fromkeys([*before, stage]))


def command(stage: Stage | Soup, here: Callable[[str], Path], hold: str, options: list[str]) -> list[str]:
    """What is run for a stage. `here`: folder of a stage that it needs; `options`: of train.py."""
    if isinstance(stage, Soup):
        of = ",".join(str(here(name)) for name in stage.of)
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--judge", default="clean")
        judge = parser.parse_known_args(options)[0].judge
        return ["soup.py", f"--of={of}", f"--start={here(stage.start)}", f"--keep={stage.keep}", f"--judge={judge}"]
    flags = [f"--{key}={value}" for key, value in stage.options.items()]
    if stage.teachers:
        flags.append("--teachers=" + ",".join(str(here(name)) for name in stage.teachers))
    if stage.start:
        flags.append(f"--start={here(stage.start)}")
    return ["train.py", f"--hold={hold}", "--sets=" + ",".join(f"{key}:{share}" for key, share in SETS.items()), *flags, *options]


def train(stage: str, hold: str, out: Path, options: list[str], features: Path) -> None:
    """Trains a stage and what it learns from; what is finished already is left."""
    holding(hold)  # Says what is wrong with it, if anything.
    last, earlier = STAGES[stage], hold_before(hold, features)
    unheard_by = dict.fromkeys(needed(stage), earlier)
    unheard_by |= dict.fromkeys([stage, *(last.of if isinstance(last, Soup) else [])], hold)
    for name, unheard in unheard_by.items():
        folder = out / name / run_name(unheard)
        if (folder / "done").exists():
            continue
        script, *flags = command(STAGES[name], lambda of: out / of / run_name(unheard_by[of]), unheard, options)
        path = Path(__file__).with_name(script)
        ended = subprocess.run([sys.executable, path, f"--out={folder}", f"--features={features}", *flags]).returncode
        if ended != 0:
            raise SystemExit(f"{name} without {unheard} ended with {ended}; the same command goes on from there")
        (folder / "done").touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hold", default="none", help="fold:K, speaker:CORPUS:NAME, corpus:NAME or none")
    parser.add_argument("--size", choices=STAGES, default="small", help="or a stage before it; small needs base: both are trained")
    parser.add_argument("--out", type=Path, default=Path(".cache/runs"))
    parser.add_argument("--features", type=Path, default=Path(".cache/features"))
    # argparse takes no list behind `--` once a positional argument stood before it.
    mark = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:mark])
    train(args.size, args.hold, args.out, sys.argv[mark + 1 :], args.features)
