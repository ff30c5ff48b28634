"""A trained checkpoint → a model package: model.onnx and model.json, proven to agree with PyTorch.

Run: python training/export.py --run .cache/runs/final/all --metrics .cache/runs/final/metrics.json --out models/tonetap-base
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

from data import CORPUS_NAMES, FRAMES, LABELS, MERGED
from model import EmotionNet, count_macs, count_parameters, network_of

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


class Serving(torch.nn.Module):
    """What is shipped: the mean of the networks' probabilities, the trained labels summed into the product's seven."""

    def __init__(self, networks: list[EmotionNet]):
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)
        parts = torch.zeros(len(MERGED), len(LABELS))
        for trained, label in enumerate(MERGED):
            if label >= 0:
                parts[trained, label] = 1
        self.register_buffer("parts", parts)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        probabilities = [torch.softmax(network(features, mask), 1) for network in self.networks]
        return torch.log(sum(probabilities) / len(probabilities) @ self.parts)


def export_onnx(model: torch.nn.Module, channels: int, path: Path) -> None:
    features, mask = torch.randn(2, channels, 1, FRAMES), torch.ones(2, 1, 1, FRAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (features, mask),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["features", "mask"],
            output_names=["logits"],
            dynamic_axes={"features": {0: "N"}, "mask": {0: "N"}, "logits": {0: "N"}},
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def check(model: torch.nn.Module, channels: int, path: Path) -> dict[str, float]:
    """Largest difference of a probability to PyTorch, and µs of CPU a window at batch 8 on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    features = random.standard_normal((8, channels, 1, FRAMES)).astype(np.float32)
    mask = np.ones((8, 1, 1, FRAMES), np.float32)
    for i, frames in enumerate([300, 80, 100, 131, 200, 250, 299, 300]):
        features[i, :, :, frames:] = 0
        mask[i, :, :, frames:] = 0
    inputs = {"features": features, "mask": mask}
    got = torch.from_numpy(session.run(None, inputs)[0]).softmax(1)
    with torch.no_grad():
        want = model(torch.from_numpy(features), torch.from_numpy(mask)).softmax(1)
    difference = float((got - want).abs().max())
    if difference > 1e-4:
        raise SystemExit(f"ONNX and PyTorch differ by {difference}")
    best = np.inf
    for _ in range(10):
        started = time.process_time()
        for _ in range(5):
            session.run(None, inputs)
        best = min(best, (time.process_time() - started) / 40)
    return {"onnxDifference": difference, "microsecondsPerWindow": round(best * 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="a run of train.py; several, comma-separated, for their average")
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
    states = [torch.load(Path(run) / "checkpoint.pt", weights_only=False) for run in args.run.split(",")]
    state = states[0]
    if any(not np.array_equal(other["mean"], state["mean"]) for other in states):
        raise SystemExit("networks are averaged only when they were trained on the same voices")
    judged = json.loads(args.metrics.read_text()) if args.metrics else {}
    channels = state["channels"]
    networks = [network_of(of).eval() for of in states]
    model = Serving(networks).eval()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "model.onnx"
    export_onnx(model, len(channels), path)
    network = {
        "parameters": sum(map(count_parameters, networks)),
        "multiplyAddsPerWindow": sum(count_macs(network, len(channels)) for network in networks),
        **check(model, len(channels), path),
    }
    manifest = {
        "format": "tonetap-model/1",
        "name": args.name,
        "version": args.version,
        "description": args.description,
        "licence": args.licence,
        "files": {"onnx": "model.onnx"},
        "features": features_of(state["spec"], channels),
        "window": {"frames": FRAMES, "minFrames": 80},
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
