"""A package → its int8 variant: static quantisation of the encoder, calibrated on speech, and what it costs in UAR.

Weights are int8 by channel, activations uint8 with ranges measured on windows of the training corpora. Ranges are fixed, so
an embedding still does not depend on how its frames were cut into steps. The variant is written only if no corpus loses
more than `--limit` points of UAR, speaker-independent: every fold's network is quantised as the packed one is.

Run: python training/quantise.py --package models/tonetap-base --runs .cache/runs/base --out models/tonetap-base-int8
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from data import CORPUS_NAMES, LABELS, MERGED, FeatureSet, Normalisation, evaluation_windows, holding
from evaluate import MODES, load_run
from export import cpu_microseconds, export_package, open_session
from metrics import uar
from model import STRIDE

# Recordings and windows that ranges are measured on, warm and cold, over three lines.
CLIPS, WINDOWS, BATCH = 240, 480, 8
LINES = ("clean", "opus16", "g711")


class Batches(CalibrationDataReader):
    def __init__(self, batches: list[dict[str, np.ndarray]]):
        self.left = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def calibration_windows(features: Path, channels: list[str], corpora: set[str], held, normalisation: Normalisation):
    """Windows [W, C, 1, T] and masks of voices that the network was trained on."""
    random = np.random.default_rng(1)
    x, masks = [], []
    for line in LINES:
        feature_set = FeatureSet(features, line, channels, corpora)
        known = [clip for clip in feature_set.clips if not held(clip)]
        clips = [known[i] for i in random.permutation(len(known))[:CLIPS]]
        for warm in (True, False):
            windows = evaluation_windows(feature_set, clips, normalisation, warm)
            x.append(windows.features)
            masks.append(windows.mask)
    x, masks = np.concatenate(x), np.concatenate(masks)
    chosen = random.permutation(len(x))[:WINDOWS]
    return x[chosen], masks[chosen]


def quantise(
    source: Path, target: Path, windows: np.ndarray, masks: np.ndarray, state_size: int, percentile: float
) -> None:
    """Writes model.onnx and encoder.onnx of `source` to `target`, quantised, and its head.onnx as it is.

    The head's attention and pooling are little work and much precision; in int8 it was slower, for the copies between the two.
    """
    state = np.zeros((BATCH, state_size), np.float32)
    given: dict[str, list[dict[str, np.ndarray]]] = {"model": [], "encoder": []}
    for at in range(0, len(windows) - BATCH + 1, BATCH):
        of = slice(at, at + BATCH)
        given["model"].append({"features": windows[of], "mask": masks[of]})
        given["encoder"].append({"features": windows[of], "state": state})
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "head.onnx", target / "head.onnx")
    with tempfile.TemporaryDirectory() as folder:
        for name, batches in given.items():
            prepared = Path(folder) / f"{name}.onnx"
            quant_pre_process(str(source / f"{name}.onnx"), str(prepared), skip_symbolic_shape=True)
            nodes = [node.name for node in onnx.load(prepared).graph.node] if name == "model" else []
            others = [node for node in nodes if not node.startswith("/encoder")]
            quantize_static(
                str(prepared),
                str(target / f"{name}.onnx"),
                Batches(batches),
                quant_format=QuantFormat.QDQ,
                # Ranges of every kind of node are taken, of those left out too, and a mask's have no width.
                op_types_to_quantize=None if name == "encoder" else ["Conv"],
                nodes_to_exclude=others,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                # A click must not coarsen everything else: with the plain extremes EMOVO lost 0.9 points.
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": percentile},
                weight_type=QuantType.QInt8,
            )


class Whole:
    """A package as it judges windows that stand alone."""

    def __init__(self, folder: Path):
        self.model = open_session(folder / "model.onnx")

    def logits(self, x: np.ndarray, masks: np.ndarray) -> np.ndarray:
        return self.model.run(None, {"features": x, "mask": masks})[0]


class Stream:
    """A package as it judges windows by their streams: each of them the first of its own."""

    def __init__(self, folder: Path, state_size: int):
        self.encoder, self.head = open_session(folder / "encoder.onnx"), open_session(folder / "head.onnx")
        self.state_size = state_size

    def logits(self, x: np.ndarray, masks: np.ndarray) -> np.ndarray:
        state = np.zeros((len(x), self.state_size), np.float32)
        embeddings = self.encoder.run(["embeddings"], {"features": x, "state": state})[0]
        steps = np.ascontiguousarray(masks[:, 0, 0, STRIDE - 1 :: STRIDE])
        return self.head.run(None, {"embeddings": embeddings * steps[:, :, None], "mask": steps})[0]


def probabilities(package: Whole | Stream, x: np.ndarray, masks: np.ndarray) -> np.ndarray:
    parts = [package.logits(x[at : at + 64], masks[at : at + 64]) for at in range(0, len(x), 64)]
    return np.exp(np.concatenate(parts))


def judge_fold(run: Path, features: Path, percentile: float) -> dict[str, np.ndarray]:
    """Recordings of the fold's unheard voices, warm: truth, corpus, and what float32 and int8 say of them, whole and by stream."""
    network, normalisation, state = load_run(run)
    held = holding(state["options"]["hold"])
    channels, corpora = state["channels"], set(state["corpora"])
    network = network.to(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "float32", Path(folder) / "int8"
        plain.mkdir()
        export_package(network, len(channels), plain)
        windows, masks = calibration_windows(features, channels, corpora, held, normalisation)
        quantise(plain, small, windows, masks, network.encoder.state_size, percentile)
        feature_set = FeatureSet(features, "clean", channels, corpora)
        clips = [clip for clip in feature_set.clips if held(clip) and MERGED[clip.label] >= 0]
        packages = {
            "float32": Whole(plain),
            "int8": Whole(small),
            "int8Stream": Stream(small, network.encoder.state_size),
        }
        said: dict[str, list[np.ndarray]] = {name: [] for name in packages}
        for at in range(0, len(clips), 300):
            part = clips[at : at + 300]
            cut = evaluation_windows(feature_set, part, normalisation, **MODES["warm_clip"])
            for name, package in packages.items():
                total = np.zeros((len(part), len(LABELS)))
                np.add.at(total, cut.clip, probabilities(package, cut.features, cut.mask))
                said[name].append(total / total.sum(1, keepdims=True))
    return {
        "truth": np.array([MERGED[clip.label] for clip in clips]),
        "corpus": np.array([clip.corpus for clip in clips]),
        **{name: np.concatenate(parts) for name, parts in said.items()},
    }


def compare(folds: list[dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """Of each corpus UAR over its labels by float32 and int8, whole and by stream, and the share of decisions that stay."""
    joined = {key: np.concatenate([fold[key] for fold in folds]) for key in folds[0]}
    figures = {}
    for name in sorted(set(joined["corpus"])):
        of = joined["corpus"] == name
        truth = joined["truth"][of]
        said = {way: joined[way][of] for way in ("float32", "int8", "int8Stream")}

        def unchanged(way: str, said: dict[str, np.ndarray] = said) -> float:
            return round(float(np.mean(said["float32"].argmax(1) == said[way].argmax(1))), 4)

        figures[CORPUS_NAMES.get(name, name)] = {
            **{way: round(uar(truth, scores), 4) for way, scores in said.items()},
            "unchanged": unchanged("int8"),
            "unchangedStream": unchanged("int8Stream"),
        }
    return figures


def speed(folder: Path, windows: np.ndarray, state_size: int) -> dict[str, int]:
    """µs of CPU a window at batch 8: whole, and half a second of a stream."""
    model, encoder, head = (open_session(folder / f"{name}.onnx") for name in ("model", "encoder", "head"))
    x = np.ascontiguousarray(windows[:8])
    state = np.zeros((8, state_size), np.float32)
    hop = {"features": np.ascontiguousarray(x[..., :50]), "state": state}
    joined = {"embeddings": encoder.run(None, {"features": x, "state": state})[0], "mask": np.ones((8, 60), np.float32)}
    whole = {"features": x, "mask": np.ones((8, 1, 1, x.shape[3]), np.float32)}
    return {
        "microsecondsPerWindow": cpu_microseconds(lambda: model.run(None, whole), 8),
        "microsecondsPerHalfSecond": cpu_microseconds(lambda: (encoder.run(None, hop), head.run(None, joined)), 8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder with fold0, fold1, … and all")
    parser.add_argument("--features", type=Path, default=Path(".cache/features"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--percentile", type=float, default=99.99, help="of the values, that a range takes in")
    parser.add_argument("--limit", type=float, default=0.5, help="points of UAR that a corpus may lose")
    args = parser.parse_args()
    figures = compare([judge_fold(run, args.features, args.percentile) for run in sorted(args.runs.glob("fold*"))])
    for name, entry in figures.items():
        for way, unchanged in (("int8", "unchanged"), ("int8Stream", "unchangedStream")):
            loss = 100 * (entry["float32"] - entry[way])
            print(f"{name:10} {way:10} {entry['float32']:.3f} → {entry[way]:.3f} ({loss:+.2f} lost), {entry[unchanged]:.1%} same")
    worst = max(entry["float32"] - min(entry["int8"], entry["int8Stream"]) for entry in figures.values())
    if 100 * worst >= args.limit:
        raise SystemExit(f"int8 costs {100 * worst:.2f} points of UAR, allowed are less than {args.limit}: not written")
    manifest = json.loads((args.package / "model.json").read_text())
    _, normalisation, state = load_run(args.runs / "all")
    windows, masks = calibration_windows(
        args.features, state["channels"], set(state["corpora"]), lambda clip: False, normalisation
    )
    state_size = manifest["streaming"]["stateSize"]
    quantise(args.package, args.out, windows, masks, state_size, args.percentile)
    manifest["name"] += "-int8"
    manifest["description"] = manifest["description"].rstrip(".") + "; int8."
    manifest["metrics"]["network"] |= speed(args.out, windows, state_size)
    manifest["metrics"]["int8"] = figures
    (args.out / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.copy(args.package / "LICENSE.md", args.out / "LICENSE.md")
    print(json.dumps(manifest["metrics"]["network"]))


if __name__ == "__main__":
    main()
