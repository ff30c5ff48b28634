"""Writes test/fixtures/tiny-streaming: a very small streaming network with the real interface, for tests of inference.

Deterministic: the same bytes on every run. Its weights are drawn, not trained: it knows nothing about emotion.
Two causal convolutions over time and attention over the last steps, as one file (model.onnx) and in two parts:
encoder.onnx sees every frame once and carries what its convolutions look back on, head.onnx judges 60 steps.
Run: python training/make_tiny_streaming.py
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from make_tiny import CHANNELS, FRAMES, LABELS, OUT, manifest

STRIDE = 5
STEPS = FRAMES // STRIDE
HIDDEN = 8
EMBEDDING = 6
# The first convolution looks back 4 frames, the second 2 steps.
KERNEL, BACK = 9, 9 - STRIDE
STEP_KERNEL, STEP_BACK = 3, 2
STATE = BACK * CHANNELS + STEP_BACK * HIDDEN

random = np.random.default_rng(20261123)


def drawn(*shape: int, scale: float) -> np.ndarray:
    return (random.standard_normal(shape) * scale).astype(np.float32)


WEIGHTS = {
    "first_weight": drawn(HIDDEN, CHANNELS, 1, KERNEL, scale=0.05),
    "first_bias": drawn(HIDDEN, scale=0.3),
    "second_weight": drawn(EMBEDDING, HIDDEN, 1, STEP_KERNEL, scale=0.4),
    "second_bias": drawn(EMBEDDING, scale=0.3),
    "attend": drawn(EMBEDDING, 1, scale=0.8),
    "judge_weight": drawn(EMBEDDING, len(LABELS), scale=0.9),
    "judge_bias": drawn(len(LABELS), scale=0.1),
}


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def node(op: str, inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attributes)


def head_nodes() -> list[onnx.NodeProto]:
    """embeddings [N, steps, E] and mask [N, steps] → logits."""
    return [
        node("MatMul", ["embeddings", "attend"], "scores3"),
        node("Squeeze", ["scores3", "axis2"], "scores"),
        node("Sub", ["mask_steps", "one"], "absent"),
        node("Mul", ["absent", "huge"], "penalty"),
        node("Add", ["scores", "penalty"], "masked"),
        node("Softmax", ["masked"], "shares", axis=1),
        node("Unsqueeze", ["shares", "axis2"], "shares3"),
        node("Mul", ["embeddings", "shares3"], "weighted"),
        node("ReduceSum", ["weighted", "axis1"], "pooled", keepdims=0),
        node("Gemm", ["pooled", "judge_weight", "judge_bias"], "logits"),
    ]


HEAD_CONSTANTS = {
    "axis1": ints(1),
    "axis2": ints(2),
    "one": np.array(1, np.float32),
    "huge": np.array(1e9, np.float32),
}


def embedding_nodes() -> list[onnx.NodeProto]:
    """What both files do between the convolutions' inputs and the embeddings."""
    return [
        node("Conv", ["frames_back", "first_weight", "first_bias"], "first", kernel_shape=[1, KERNEL], strides=[1, STRIDE]),
        node("Relu", ["first"], "hidden"),
        node("Concat", ["steps_before", "hidden"], "steps_back", axis=3),
        node("Conv", ["steps_back", "second_weight", "second_bias"], "second", kernel_shape=[1, STEP_KERNEL]),
        node("Tanh", ["second"], "active"),
        node("Squeeze", ["active", "axis2"], "channel_major"),
        node("Transpose", ["channel_major"], "embeddings", perm=[0, 2, 1]),
    ]


def encoder() -> onnx.ModelProto:
    constants = {
        **HEAD_CONSTANTS,
        "zero": ints(0),
        "split": ints(BACK * CHANNELS),
        "end": ints(STATE),
        "frames_shape": ints(-1, CHANNELS, 1, BACK),
        "steps_shape": ints(-1, HIDDEN, 1, STEP_BACK),
        "last_frames": ints(-BACK),
        "last_steps": ints(-STEP_BACK),
        "far": ints(1 << 30),
        "axis3": ints(3),
    }
    nodes = [
        node("Slice", ["state", "zero", "split", "axis1"], "state_frames"),
        node("Reshape", ["state_frames", "frames_shape"], "frames_before"),
        node("Slice", ["state", "split", "end", "axis1"], "state_steps"),
        node("Reshape", ["state_steps", "steps_shape"], "steps_before"),
        node("Concat", ["frames_before", "features"], "frames_back", axis=3),
        *embedding_nodes(),
        node("Slice", ["frames_back", "last_frames", "far", "axis3"], "next_frames"),
        node("Slice", ["steps_back", "last_steps", "far", "axis3"], "next_steps"),
        node("Flatten", ["next_frames"], "next_frames_flat"),
        node("Flatten", ["next_steps"], "next_steps_flat"),
        node("Concat", ["next_frames_flat", "next_steps_flat"], "next_state", axis=1),
    ]
    return model(
        "tiny-encoder",
        nodes,
        {"features": ["N", CHANNELS, 1, "F"], "state": ["N", STATE]},
        {"embeddings": ["N", "steps", EMBEDDING], "next_state": ["N", STATE]},
        constants,
    )


def head() -> onnx.ModelProto:
    nodes = [node("Identity", ["mask"], "mask_steps"), *head_nodes()]
    shapes = {"embeddings": ["N", STEPS, EMBEDDING], "mask": ["N", STEPS]}
    return model("tiny-head", nodes, shapes, {"logits": ["N", len(LABELS)]}, HEAD_CONSTANTS)


def whole() -> onnx.ModelProto:
    """Pads with the zeros that a state of zeros stands for; a step is valid if its first frame is."""
    constants = {
        **HEAD_CONSTANTS,
        "zero": ints(0),
        "far": ints(1 << 30),
        "axis3": ints(3),
        "stride": ints(STRIDE),
        "mask_shape": ints(-1, STEPS),
        "pad_frames": ints(0, 0, 0, BACK, 0, 0, 0, 0),
        "pad_steps": ints(0, 0, 0, STEP_BACK, 0, 0, 0, 0),
    }
    body = embedding_nodes()
    # Without a state there is nothing to concatenate: the padding stands in its place.
    at = next(i for i, one in enumerate(body) if one.op_type == "Concat")
    body[at] = node("Pad", ["hidden", "pad_steps"], "steps_back")
    nodes = [
        node("Mul", ["features", "mask"], "valid"),
        node("Pad", ["valid", "pad_frames"], "frames_back"),
        *body,
        node("Slice", ["mask", "zero", "far", "axis3", "stride"], "mask_strided"),
        node("Reshape", ["mask_strided", "mask_shape"], "mask_steps"),
        *head_nodes(),
    ]
    shapes = {"features": ["N", CHANNELS, 1, FRAMES], "mask": ["N", 1, 1, FRAMES]}
    return model("tiny-streaming", nodes, shapes, {"logits": ["N", len(LABELS)]}, constants)


def model(name: str, nodes: list, inputs: dict, outputs: dict, constants: dict) -> onnx.ModelProto:
    used = {each for one in nodes for each in one.input}
    tensors = {key: value for key, value in {**WEIGHTS, **constants}.items() if key in used}
    values = [
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in of.items()]
        for of in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(value, key) for key, value in tensors.items()]
    made = helper.make_model(
        helper.make_graph(nodes, name, values[0], values[1], initializers),
        producer_name="tonetap",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(made, full_check=True)
    return made


if __name__ == "__main__":
    out = OUT.parent / "tiny-streaming"
    out.mkdir(parents=True, exist_ok=True)
    files = {"onnx": "model.onnx", "encoder": "encoder.onnx", "head": "head.onnx"}
    for part, made in {"onnx": whole(), "encoder": encoder(), "head": head()}.items():
        (out / files[part]).write_bytes(made.SerializeToString(deterministic=True))
    streaming = {
        "strideFrames": STRIDE,
        "stateSize": STATE,
        "embeddingChannels": EMBEDDING,
        "steps": STEPS,
    }
    text = json.dumps(manifest() | {"name": "tiny-streaming", "files": files, "streaming": streaming}, indent=2)
    (out / "model.json").write_text(text + "\n")
    print(f"wrote {out.name}")
