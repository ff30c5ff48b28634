"""The mean of the weights of runs that began with the same network: a network that is better than most of them.

Fine-tuned from one start they lie in one basin, so their mean does too (Wortsman et al. 2022, "Model soups"); part of the
start itself may be kept ("Robust fine-tuning of zero-shot models", the same).

Run: python training/soup.py --of .cache/runs/base-1/all,.cache/runs/base-2/all --out .cache/runs/base/all
"""

import argparse
from pathlib import Path

import torch

from evaluate import judge_again


def mean_weights(states: list[dict[str, torch.Tensor]], shares: list[float]) -> dict[str, torch.Tensor]:
    """Weighted mean of weights; what is no number with a fraction (a counter) is the first's."""
    return {
        name: sum(share * state[name] for state, share in zip(states, shares, strict=True))
        if first.dtype.is_floating_point
        else first
        for name, first in states[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", required=True, help="folders of finished runs, comma-separated")
    parser.add_argument("--start", type=Path, help="finished run that they began with")
    parser.add_argument("--keep", type=float, default=0, help="share that the weights of --start have")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--features", type=Path, default=Path(".cache/features"))
    parser.add_argument("--judge", default="clean", help="sets whose out-of-fold logits are kept")
    args = parser.parse_args()
    if args.keep and not args.start:
        raise SystemExit(f"--keep {args.keep} of what? --start is missing")
    runs = [Path(path) for path in args.of.split(",")]
    states = [torch.load(path / "checkpoint.pt", weights_only=False) for path in [*runs, *([args.start] if args.start else [])]]
    kinds = {(state["options"]["size"], str(state["options"]["model"]), tuple(state["channels"])) for state in states}
    if len(kinds) > 1:
        raise SystemExit(f"only like networks have a mean, these are {len(kinds)} kinds: {', '.join(map(str, runs))}")
    shares = [(1 - args.keep) / len(runs)] * len(runs) + ([args.keep] if args.start else [])
    averaged = {key: states[0][key] for key in ("epoch", "options", "channels", "spec", "corpora", "mean", "std")}
    averaged["average"] = mean_weights([state["average"] for state in states], shares)
    averaged["of"] = [f"{share:.3f} of {path}" for share, path in zip(shares, [*runs, args.start], strict=False)]
    args.out.mkdir(parents=True, exist_ok=True)
    torch.save(averaged, args.out / "checkpoint.pt")
    if averaged["options"]["hold"] != "none":
        judge_again(args.out, args.judge.split(","), args.features)


if __name__ == "__main__":
    main()
