"""The networks behind the figures, small enough to keep: weights in 16 bits, and what it takes to judge with them.

training/folds has those of the bundled models: who has the corpora can judge again what we say of them. Their features first
(`npm run features`), then

Run: python training/kept.py unpack --kept training/folds/base --runs .cache/kept/base
     python training/protocol.py line --size base --out .cache/kept                       (lines whose features are there)
     python training/kept.py pack --kept training/folds/base --runs .cache/runs/base     (how they were kept)
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from evaluate import fold_runs

# Of a run's options, what a network is built and judged by.
OPTIONS = ("size", "model", "hold", "prior_frames")
SCALES = ("mean", "std")


def pack(run: Path, path: Path) -> None:
    """Writes the averaged network of a run; numbers that are no fractions stay as they are."""
    state = torch.load(run / "checkpoint.pt", weights_only=False)
    weights = {f"average.{name}": w.half() if w.dtype.is_floating_point else w for name, w in state["average"].items()}
    scales = {name: torch.from_numpy(state[name]) for name in SCALES}
    about = {key: state[key] for key in ("epoch", "channels", "spec", "corpora")}
    about["options"] = {key: state["options"][key] for key in OPTIONS}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: w.contiguous() for name, w in (weights | scales).items()}, path, {"about": json.dumps(about)})


def unpack(path: Path, run: Path) -> None:
    """Makes a run of it again, for judging; there is nothing left to go on training from."""
    with safe_open(path, "pt") as file:
        state = json.loads(file.metadata()["about"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    state |= {name: weights.pop(name).numpy() for name in SCALES}
    state["average"] = {name.removeprefix("average."): w.float() if w.dtype.is_floating_point else w for name, w in weights.items()}
    run.mkdir(parents=True, exist_ok=True)
    torch.save(state, run / "checkpoint.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("--kept", type=Path, required=True, help="folder of fold0.safetensors, fold1.safetensors, …")
    parser.add_argument("--runs", type=Path, required=True, help="folder of fold0, fold1, … as recipe.py leaves them")
    args = parser.parse_args()
    if args.what == "pack":
        for run in fold_runs(args.runs):
            pack(run, args.kept / f"{run.name}.safetensors")
    else:
        for path in sorted(args.kept.glob("fold*.safetensors")):
            unpack(path, args.runs / path.stem)


if __name__ == "__main__":
    main()
