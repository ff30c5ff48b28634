"""A trained checkpoint → a model package: model.json, model.onnx for whole windows, encoder.onnx and head.onnx for windows
that overlap; proven to agree with PyTorch and with each other.

Run: python training/export.py --run .cache/runs/base/all --metrics .cache/judged.json --out models/tonetap-base
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from data import CORPUS_NAMES, FRAMES, LABELS
from model import STEPS, STRIDE, EmotionNet, count_macs, count_parameters
from networks import network_of
from served import ServedEncoder, ServedHead, ServedWindow, merging

# Where the words lie on the circumplex of pleasure and arousal, to one decimal: after Russell & Mehrabian (1977),
# "Evidence for a three-factor theory of emotions", J. Res. Pers. 11, 273-294; neutral is the origin. A mapping, not a
# measurement: MODEL_CARD.md says so.
AFFECT = {
    "angry": (-0.5, 0.6),
    "disgust": (-0.6, 0.4),
    "fear": (-0.6, 0.6),
    "happy": (0.8, 0.5),
    "neutral": (0.0, 0.0),
    "sad": (-0.6, -0.3),
    "surprise": (0.4, 0.7),
}


def features_of(spec: dict, channels: list[str]) -> dict:
    """The feature spec that gives exactly these channels."""

    def count(prefix: str) -> int:
        return sum(name.rstrip("0123456789") == prefix for name in channels)

    return spec | {
        "mfcc": max(count("mfcc"), count("delta")),
        "delta": count("delta") > 0,
        "delta2": count("delta2_") > 0,
        "logMel": count("mel") > 0,
        "chroma": count("chroma"),
        "logEnergy": "energy" in channels,
    }


def export_onnx(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], outputs: list[str], path: Path, length: str | None = None
) -> None:
    """@param length: input whose last dimension varies too."""
    axes = {name: {0: "N"} for name in [*inputs, *outputs]}
    if length is not None:
        axes[length][3] = "F"
        axes[outputs[0]][1] = "steps"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            tuple(inputs.values()),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=axes,
        )
    onnx.save(fuse_padding(onnx.load(path)), path)
    onnx.checker.check_model(onnx.load(path), full_check=True)


def fuse_padding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Zeros before a causal convolution as its own `pads` instead of a Pad node: less to copy, and every engine knows it."""
    graph = model.graph
    padded = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        if node.op_type != "Conv" or node.input[0] not in padded:
            continue
        given = {attribute.name: attribute for attribute in node.attribute}
        kernel, stride, dilation = (given[name].ints[1] for name in ("kernel_shape", "strides", "dilations"))
        del given["pads"].ints[:]
        given["pads"].ints.extend([0, (kernel - 1) * dilation + 1 - stride, 0, 0])
        node.input[0] = padded[node.input[0]].input[0]
    # What only the Pad nodes needed.
    while True:
        needed = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        unused = [node for node in graph.node if not any(name in needed for name in node.output)]
        if not unused:
            return model
        for node in unused:
            graph.node.remove(node)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def cpu_microseconds(work, windows: int) -> int:
    """µs of CPU a window, on one thread: the least of ten tries."""
    best = np.inf
    for _ in range(10):
        started = time.process_time()
        for _ in range(5):
            work()
        best = min(best, (time.process_time() - started) / (5 * windows))
    return round(best * 1e6)


def check(network: EmotionNet, channels: int, folder: Path) -> dict[str, float]:
    """Largest differences of a probability to the trained network's, whole and in steps, and µs of CPU a window at batch 8."""
    window, encoder, head = (open_session(folder / f"{name}.onnx") for name in ("model", "encoder", "head"))
    random = np.random.default_rng(1)
    features = random.standard_normal((8, channels, 1, FRAMES)).astype(np.float32)
    mask = np.ones((8, 1, 1, FRAMES), np.float32)
    for i, frames in enumerate([300, 80, 100, 131, 200, 250, 299, 300]):
        features[i, :, :, frames:] = 0
        mask[i, :, :, frames:] = 0
    whole = {"features": features, "mask": mask}
    with torch.no_grad():
        want = network(torch.from_numpy(features), torch.from_numpy(mask)).softmax(1) @ merging()
        want /= want.sum(1, keepdim=True)

    def difference(logits: np.ndarray) -> float:
        return float((torch.from_numpy(logits).softmax(1) - want).abs().max())

    state, pieces = np.zeros((8, network.encoder.state_size), np.float32), []
    for at, end in ((0, 100), (100, 105), (105, 155), (155, 300)):
        piece, state = encoder.run(None, {"features": features[..., at:end], "state": state})
        pieces.append(piece)
    steps = np.ascontiguousarray(mask[:, 0, 0, STRIDE - 1 :: STRIDE])
    joined = {"embeddings": np.concatenate(pieces, 1) * steps[:, :, None], "mask": steps}
    differences = {
        "onnxDifference": difference(window.run(None, whole)[0]),
        "stepDifference": difference(head.run(None, joined)[0]),
    }
    if max(differences.values()) > 1e-4:
        raise SystemExit(f"ONNX and PyTorch differ by {differences}")
    hop = {"features": features[..., :50], "state": state}
    return differences | {
        "microsecondsPerWindow": cpu_microseconds(lambda: window.run(None, whole), 8),
        "microsecondsPerHalfSecond": cpu_microseconds(lambda: (encoder.run(None, hop), head.run(None, joined)), 8),
    }


def export_package(network: EmotionNet, channels: int, folder: Path) -> dict[str, float]:
    """Writes the three graphs. @returns what {@link check} measured"""
    features, mask = torch.randn(2, channels, 1, FRAMES), torch.ones(2, 1, 1, FRAMES)
    state = torch.zeros(2, network.encoder.state_size)
    embeddings = torch.rand(2, STEPS, network.encoder.embedding)
    export_onnx(
        ServedWindow(network).eval(),
        {"features": features, "mask": mask},
        ["logits"],
        folder / "model.onnx",
    )
    export_onnx(
        ServedEncoder(network).eval(),
        {"features": features[..., :50], "state": state},
        ["embeddings", "next_state"],
        folder / "encoder.onnx",
        "features",
    )
    export_onnx(
        ServedHead(network).eval(),
        {"embeddings": embeddings, "mask": torch.ones(2, STEPS)},
        ["logits"],
        folder / "head.onnx",
    )
    return check(network, channels, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run of train.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, help="JSON: temperature, abstainBelow, metrics")
    parser.add_argument("--name", default="tonetap-base")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--licence", default="LicenseRef-NonCommercial-Research")
    parser.add_argument(
        "--description",
        default="1D-CNN over time with channel and spatial attention: seven expressions from three seconds of speech.",
    )
    args = parser.parse_args()
    state = torch.load(args.run / "checkpoint.pt", weights_only=False)
    judged = json.loads(args.metrics.read_text()) if args.metrics else {}
    channels = state["channels"]
    model = network_of(state).eval().to(memory_format=torch.contiguous_format)
    args.out.mkdir(parents=True, exist_ok=True)
    network = {
        "parameters": count_parameters(model),
        "multiplyAddsPerWindow": count_macs(model, len(channels)),
        **export_package(model, len(channels), args.out),
    }
    manifest = {
        "format": "tonetap-model/1",
        "name": args.name,
        "version": args.version,
        "description": args.description,
        "licence": args.licence,
        "files": {"onnx": "model.onnx", "encoder": "encoder.onnx", "head": "head.onnx"},
        "features": features_of(state["spec"], channels),
        "window": {"frames": FRAMES, "minFrames": 80},
        "streaming": {
            "strideFrames": STRIDE,
            "steps": STEPS,
            "stateSize": model.encoder.state_size,
            "embeddingChannels": model.encoder.embedding,
        },
        "normalisation": {
            "kind": "speaker",
            "mean": [float(f"{x:.6g}") for x in state["mean"]],
            "std": [float(f"{x:.6g}") for x in state["std"]],
            "priorFrames": int(state["options"]["prior_frames"]),
            "maxFrames": 6000,
        },
        "tensors": {"features": "features", "mask": "mask", "logits": "logits"},
        "labels": LABELS,
        "temperature": judged.get("temperature", 1.0),
        "abstainBelow": judged.get("abstainBelow", 0.3),
        "affect": {name: {"valence": v, "arousal": a} for name, (v, a) in AFFECT.items()},
        "corpora": [CORPUS_NAMES.get(name, name) for name in state["corpora"]],
        "metrics": {"network": network, **judged.get("metrics", {})},
    }
    (args.out / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(json.dumps(network))


if __name__ == "__main__":
    main()
