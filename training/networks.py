"""Every network that can be trained, by its name, and how to get one back from a checkpoint."""

import torch
from torch import nn

from data import TRAINED
from model import EmotionNet
from window_net import WindowNet

# `base` and `small` are shipped, `teacher` teaches them.
SIZES: dict[str, tuple[type[nn.Module], dict]] = {
    "base": (EmotionNet, {"width": 128}),
    "small": (EmotionNet, {"width": 72}),
    "teacher": (WindowNet, {"width": 96}),
}


def build(size: str, channels: int, options: dict) -> nn.Module:
    """@param options: over those of the size."""
    kind, given = SIZES[size]
    return kind(channels, len(TRAINED), **(given | options)).to(memory_format=torch.channels_last)


def network_of(state: dict) -> nn.Module:
    """The averaged network of a checkpoint."""
    model = build(state["options"]["size"], len(state["channels"]), state["options"]["model"])
    model.load_state_dict(state["average"])
    return model
