"""Trains one network: on all voices but a fold's or a corpus's (`--hold`), judged on those, or on everybody.

Seeded; a checkpoint after every tenth epoch lets the same command continue. Features come from `npm run features`.
"""

import argparse
import copy
import json
import queue
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from data import TRAINED, FeatureSet, channel_names, fit_prior, holding, spec_of
from evaluate import keep_judgements, quick_report
from model import count_macs, count_parameters
from networks import SIZES, build, network_of
from sampling import Trainer


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, default=Path(".cache/features"))
    parser.add_argument("--sets", default="clean", help="feature sets and their shares: clean:0.5,opus16:0.3,g711:0.2")
    parser.add_argument("--corpora", default="ravdess,savee,emovo,emodb_first2s,tess,turevdb,banglaser")
    parser.add_argument("--channels", default="mdDlce", help="m MFCC, d delta, D delta2, l log-mel, c chroma, e energy")
    parser.add_argument("--hold", default="fold:0", help="who is judged and not heard: fold:K, corpus:NAME or none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--samples", type=int, default=5120, help="drawn an epoch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--decay", type=float, default=0.03)
    parser.add_argument("--smoothing", type=float, default=0.05)
    parser.add_argument("--mixup", type=float, default=0.5, help="share of batches")
    parser.add_argument("--mixup-alpha", type=float, default=0.3)
    parser.add_argument("--prior-frames", type=float, default=300)
    parser.add_argument("--crop", type=float, default=0.5)
    parser.add_argument("--stretch", type=float, default=0.5)
    parser.add_argument("--cold", type=float, default=0.3)
    parser.add_argument("--microphone", type=float, default=0.5)
    parser.add_argument("--time-mask", type=float, default=0.4)
    parser.add_argument("--channel-mask", type=float, default=0.4)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--model", default="{}", help="JSON of the network's options, over those of the size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="a fifth faster where the processor has AVX512-BF16")
    parser.add_argument("--compile", action="store_true", help="a quarter faster after a minute, where there is a C++ compiler")
    parser.add_argument("--teachers", default="", help="folders of finished runs to learn from, comma-separated")
    parser.add_argument("--taught", type=float, default=0.5, help="share of the target that the teachers give")
    parser.add_argument("--open", type=float, default=0.5, help="share of the loss over all labels, the corpus's or not")
    parser.add_argument("--balance", type=float, default=0.5, help="0: labels are drawn as often as a corpus has them, 1: equally")
    parser.add_argument("--hide", default="", help="share of samples without features whose names begin so: chroma:0.4,mfcc+delta:0.2")
    parser.add_argument("--untilt", type=float, default=0, help="share of their labels' frequencies taken out of what teachers say")
    parser.add_argument("--surroundings", type=float, default=0, help="share of samples in another room, noise or throat")
    parser.add_argument("--start", type=Path, help="finished run whose weights it begins with")
    parser.add_argument("--leave-out", default="", help="speakers never trained on: corpus:speaker,corpus:speaker")
    parser.add_argument("--judge", default="clean", help="sets whose out-of-fold logits are kept")
    return parser.parse_args()


def prefetch(trainer: Trainer, size: int, count: int):
    """Batches made in a second thread, four ahead at most."""
    made: queue.Queue = queue.Queue(4)
    thread = threading.Thread(target=lambda: [made.put(trainer.batch(size)) for _ in range(count)], daemon=True)
    thread.start()
    for _ in range(count):
        yield made.get()
    thread.join()


def mixup_share(alpha: float, random: np.random.Generator) -> float:
    """Mixup: what share of each sample stays when another of the batch is mixed in."""
    share = float(random.beta(alpha, alpha))
    return max(share, 1 - share)


def smoothed(labels, allowed, smoothing: float):
    """One-hot targets, `smoothing` of each spread over the labels that the corpus has."""
    target = F.one_hot(labels, len(TRAINED)).float()
    return target * (1 - smoothing) + smoothing * allowed / allowed.sum(1, keepdim=True)


def loss_of(logits, target, allowed, taught, share: float, unmasked: float):
    """Cross-entropy; `share` of the target is what the teachers say, if there are any.

    Over the labels that the corpus has: what it never recorded it says nothing of. `unmasked` of the loss is over all
    labels, so that none of them comes to stand for whatever a corpus lacks.
    """
    closed = logits.float().masked_fill(~allowed, -1e4)
    if taught is not None:
        target = (1 - share) * target + share * torch.softmax(taught.masked_fill(~allowed, -1e4), 1)
    return (1 - unmasked) * F.cross_entropy(closed, target) + unmasked * F.cross_entropy(logits.float(), target)


def load_teachers(paths: list[Path]) -> list[torch.nn.Module]:
    """Networks of finished runs with the same channels and normalisation; their averaged weights, for judging only."""
    teachers = []
    for path in paths:
        state = torch.load(path / "checkpoint.pt", weights_only=False)
        teachers.append(network_of(state).eval().requires_grad_(False))
    return teachers


def main() -> None:
    args = parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    corpora = set(args.corpora.split(","))
    shares = {name: float(share or 1) for name, _, share in (item.partition(":") for item in args.sets.split(","))}
    channels = channel_names(args.channels, spec_of(args.features, next(iter(shares))))
    sets = {
        name: FeatureSet(args.features, name, channels, corpora) for name in [*shares, *args.judge.split(",")]
    }
    for name, feature_set in sets.items():
        if feature_set.spec != sets[next(iter(shares))].spec:
            raise SystemExit(f"{args.features / name}.json has other features than {next(iter(shares))}.json: {feature_set.spec}")
    left_out = {tuple(item.split(":")) for item in args.leave_out.split(",") if item}
    for feature_set in sets.values():
        feature_set.clips = [clip for clip in feature_set.clips if (clip.corpus, clip.speaker) not in left_out]
    held = holding(args.hold)
    clean = next(iter(sets.values()))
    normalisation = fit_prior([clip for clip in clean.clips if not held(clip)], args.prior_frames)
    options = vars(args) | {"model": json.loads(args.model)}
    trainer = Trainer([sets[n] for n in shares], list(shares.values()), held, normalisation, args.seed, options)
    model = build(args.size, len(channels), options["model"])
    if args.start:
        model.load_state_dict(torch.load(args.start / "checkpoint.pt", weights_only=False)["average"])
    average = copy.deepcopy(model)
    teachers = load_teachers([Path(path) for path in args.teachers.split(",") if path])
    compiled = torch.compile if args.compile else lambda network: network
    learn, teach = compiled(model), [compiled(teacher) for teacher in teachers]
    print(f"{count_parameters(model)} parameters, {count_macs(model, len(channels)) / 1e6:.1f} M multiply-adds a window")
    steps = args.samples // args.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=args.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=args.epochs * steps, pct_start=0.1, final_div_factor=100
    )
    random = np.random.default_rng(args.seed + 1)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        first = state["epoch"]
        for name, thing in (("model", model), ("average", average), ("optimizer", optimizer), ("schedule", schedule)):
            thing.load_state_dict(state[name])
        trainer.random = np.random.default_rng(args.seed + 1000 * first)
        print(f"goes on after epoch {first}")
    test = [clip for clip in clean.clips if held(clip)]
    # Only where somebody watches: a log has a line an epoch.
    bar = tqdm(total=args.epochs * steps, initial=first * steps, unit="step", desc=f"{args.out.parent.name}/{args.out.name}", disable=None, dynamic_ncols=True)
    started = time.time()
    for epoch in range(first, args.epochs):
        model.train()
        losses = []
        for drawn in prefetch(trainer, args.batch, steps):
            x, plain, valid, labels, allowed, likelier = (torch.from_numpy(part) for part in drawn)
            target = smoothed(labels, allowed, args.smoothing)
            if random.random() < args.mixup:
                share = mixup_share(args.mixup_alpha, random)
                order = torch.from_numpy(random.permutation(len(x)))
                x, plain, target, likelier = (
                    share * part + (1 - share) * part[order] for part in (x, plain, target, likelier)
                )
                valid, allowed = torch.maximum(valid, valid[order]), allowed | allowed[order]
            x, plain = (part.contiguous(memory_format=torch.channels_last) for part in (x, plain))
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                logits = learn(x, valid)
                # Taught on the same crops, mixed or not, as they are without drawn surroundings and masks.
                taught = None
                if teach:
                    taught = sum(teacher(plain, valid).float() for teacher in teach) / len(teach)
                    taught = taught - args.untilt * likelier
            loss = loss_of(logits, target, allowed, taught, args.taught, args.open)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.update()
            keep = min(0.995, 1 - 1 / (1 + epoch * steps + len(losses)) ** 0.75)
            with torch.no_grad():
                for slow, fast in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    if slow.dtype.is_floating_point:
                        slow.mul_(keep).add_(fast, alpha=1 - keep)
        line = {"epoch": epoch + 1, "loss": round(float(np.mean(losses)), 4), "seconds": round(time.time() - started)}
        if test and ((epoch + 1) % 10 == 0 or epoch + 1 == args.epochs):
            line |= quick_report(average, clean, test, normalisation)
        tqdm.write(json.dumps(line))
        sys.stdout.flush()
        if (epoch + 1) % 10 == 0 or epoch + 1 == args.epochs:
            torch.save(
                {
                    "epoch": epoch + 1,
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.items()},
                    "channels": channels,
                    "spec": clean.spec,
                    "corpora": sorted({clip.corpus for clip in clean.clips}),
                    "mean": normalisation.mean,
                    "std": normalisation.std,
                },
                checkpoint,
            )
    bar.close()
    if test:
        for name in args.judge.split(","):
            keep_judgements(average, sets[name], held, normalisation, args.out / f"oof-{name}.npz")


if __name__ == "__main__":
    main()
