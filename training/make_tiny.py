"""Writes test/fixtures/tiny-model: a very small network with the real interface, for unit tests of inference.

Deterministic: the same bytes on every run. Its weights are drawn, not trained: it knows nothing about emotion.
One convolution over time, masked mean, one linear layer. Run: python training/make_tiny.py
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FRAMES = 300
HIDDEN = 8
KERNEL = 5
LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "tiny-model"

FEATURES = {
    "extractor": "tonetap",
    "sampleRateHz": 16000,
    "frameLength": 400,
    "hopLength": 160,
    "fftSize": 512,
    "melBands": 40,
    "melLowHz": 40,
    "melHighHz": 7600,
    "mfcc": 24,
    "delta": True,
    "delta2": True,
    "deltaWidth": 9,
    "logMel": False,
    "chroma": 12,
    "logEnergy": True,
}
CHANNELS = 24 * 3 + 12 + 1


def graph() -> onnx.ModelProto:
    rng = np.random.default_rng(20260722)
    conv_weight = (rng.standard_normal((HIDDEN, CHANNELS, 1, KERNEL)) * 0.08).astype(np.float32)
    conv_bias = (rng.standard_normal(HIDDEN) * 0.1).astype(np.float32)
    head_weight = (rng.standard_normal((len(LABELS), HIDDEN)) * 0.7).astype(np.float32)
    head_bias = (rng.standard_normal(len(LABELS)) * 0.1).astype(np.float32)
    constants = {
        "conv_weight": conv_weight,
        "conv_bias": conv_bias,
        "head_weight": head_weight,
        "head_bias": head_bias,
        "time_axis": np.array([3], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["features", "mask"], ["valid"]),
        helper.make_node(
            "Conv", ["valid", "conv_weight", "conv_bias"], ["convolved"], kernel_shape=[1, KERNEL], pads=[0, 2, 0, 2]
        ),
        helper.make_node("Relu", ["convolved"], ["active"]),
        helper.make_node("Mul", ["active", "mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "time_axis"], ["total"], keepdims=1),
        helper.make_node("ReduceSum", ["mask", "time_axis"], ["frames"], keepdims=1),
        helper.make_node("Div", ["total", "frames"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"], axis=1),
        helper.make_node("Gemm", ["pooled", "head_weight", "head_bias"], ["logits"], transB=1),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [
                helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", CHANNELS, 1, FRAMES]),
                helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1, 1, FRAMES]),
            ],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(LABELS)])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        producer_name="tonetap",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def manifest() -> dict:
    mfcc_mean = [-420.0, 60.0] + [0.0] * 22
    mfcc_std = [90.0, 45.0] + [20.0 - 0.5 * i for i in range(22)]
    return {
        "format": "tonetap-model/1",
        "name": "tiny",
        "version": "0.0.1",
        "description": "Drawn weights with the real interface, for tests. It knows nothing about emotion.",
        "licence": "Apache-2.0",
        "files": {"onnx": "model.onnx"},
        "features": FEATURES,
        "window": {"frames": FRAMES, "minFrames": 80},
        "normalisation": {
            "kind": "speaker",
            "mean": mfcc_mean + [0.0] * 48 + [0.4] * 12 + [-35.0],
            "std": mfcc_std + [6.0] * 24 + [3.0] * 24 + [0.3] * 12 + [15.0],
            "priorFrames": 300,
            "maxFrames": 6000,
        },
        "tensors": {"features": "features", "mask": "mask", "logits": "logits"},
        "labels": LABELS,
        "temperature": 1.0,
        "abstainBelow": 0.2,
        "affect": {
            "angry": {"valence": -0.5, "arousal": 0.6},
            "disgust": {"valence": -0.6, "arousal": 0.4},
            "fear": {"valence": -0.6, "arousal": 0.6},
            "happy": {"valence": 0.8, "arousal": 0.5},
            "neutral": {"valence": 0.0, "arousal": 0.0},
            "sad": {"valence": -0.6, "arousal": -0.3},
            "surprise": {"valence": 0.4, "arousal": 0.7},
        },
        "corpora": [],
        "metrics": {},
    }


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "model.onnx").write_bytes(graph().SerializeToString(deterministic=True))
    (OUT / "model.json").write_text(json.dumps(manifest(), indent=2) + "\n")
    print(f"wrote {OUT.name}: {(OUT / 'model.onnx').stat().st_size} bytes")
