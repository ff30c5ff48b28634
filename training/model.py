"""The network: a 1D-CNN over time with channel and spatial attention. Data and training are elsewhere.

Every convolution is a Conv2d with a 1×k kernel on [N, C, 1, T], so that the ONNX export needs no reshaping and
ONNX Runtime takes its faster 2D path. `mask` [N, 1, 1, T] is 1 where a frame is valid; padding never reaches a result:
activations are multiplied by the mask before every convolution over time, and pooling counts valid frames only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data import TRAINED

# Normalised features beyond this many deviations say no more: a click must not drown the rest.
CLIP = 6.0


class ConvNorm(nn.Sequential):
    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1):
        padding = (kernel - 1) // 2 * dilation
        super().__init__(
            nn.Conv2d(
                cin, cout, (1, kernel), (1, stride), (0, padding), (1, dilation), groups=groups, bias=False
            ),
            nn.BatchNorm2d(cout),
        )


def masked_mean(x: Tensor, mask: Tensor, frames: Tensor) -> Tensor:
    """Mean over valid frames: [N, C, 1, T] → [N, C, 1, 1]."""
    return (x * mask).sum(3, keepdim=True) / frames


class ChannelAttention(nn.Module):
    """One gate a channel, from the mean and the maximum over valid frames through one shared two-layer net (CBAM)."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        hidden = max(8, channels // reduction)
        self.net = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor, mask: Tensor, frames: Tensor) -> Tensor:
        mean = masked_mean(x, mask, frames)
        # x follows a ReLU, so zero never beats a valid frame and padding cannot win the maximum.
        peak = (x * mask).amax(3, keepdim=True)
        return x * torch.sigmoid(self.net(mean) + self.net(peak))


class SpatialAttention(nn.Module):
    """One gate a frame, from the mean and the maximum over channels through a convolution over time (CBAM)."""

    def __init__(self, kernel: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, (1, kernel), padding=(0, kernel // 2), bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1) * mask
        return x * torch.sigmoid(self.conv(summary))


class Block(nn.Module):
    """Residual block: two convolutions over time, then channel and spatial attention."""

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float, separable: bool):
        super().__init__()
        if separable:
            self.first = nn.Sequential(
                ConvNorm(channels, channels, kernel, dilation=dilation, groups=channels), ConvNorm(channels, channels)
            )
            self.second = nn.Sequential(
                ConvNorm(channels, channels, kernel, groups=channels), ConvNorm(channels, channels)
            )
        else:
            self.first = ConvNorm(channels, channels, kernel, dilation=dilation)
            self.second = ConvNorm(channels, channels, kernel)
        self.dropout = nn.Dropout2d(dropout)
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention()

    def forward(self, x: Tensor, mask: Tensor, frames: Tensor) -> Tensor:
        y = F.relu(self.first(x * mask))
        y = self.dropout(y)
        y = F.relu(x + self.second(y * mask))
        return self.spatial(self.channel(y, mask, frames), mask)


class AttentivePooling(nn.Module):
    """Attention-weighted mean and deviation over valid frames, `heads` weights a frame."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.score = nn.Sequential(nn.Conv2d(channels, 64, 1), nn.Tanh(), nn.Conv2d(64, heads, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.score(x) - (1 - mask) * 1e4
        # Each head weighs its own share of the channels: [N, heads, 1, T] against [N, heads, C/heads, T].
        weight = torch.softmax(scores, 3)
        shares = x.reshape(-1, self.heads, x.shape[1] // self.heads, x.shape[3])
        mean = (shares * weight).sum(3, keepdim=True)
        deviation = torch.sqrt(((shares - mean).square() * weight).sum(3, keepdim=True) + 1e-5)
        return torch.cat([mean.flatten(1), deviation.flatten(1)], 1)


class EmotionNet(nn.Module):
    """features [N, C, 1, T] and mask [N, 1, 1, T] → logits [N, labels]. T must divide by the strides' product, 4."""

    def __init__(
        self,
        channels: int,
        labels: int = 7,
        stem: int = 64,
        width: int = 96,
        dilations: tuple[int, ...] = (1, 2, 4),
        kernel: int = 3,
        dropout: float = 0.15,
        separable: bool = False,
        heads: int = 4,
    ):
        super().__init__()
        self.stem1 = ConvNorm(channels, stem, 5, stride=2)
        self.stem2 = ConvNorm(stem, width, 5, stride=2)
        self.stem_channel = ChannelAttention(width)
        self.stem_spatial = SpatialAttention()
        self.blocks = nn.ModuleList(Block(width, kernel, d, dropout, separable) for d in dilations)
        joined = width * len(dilations)
        self.join = ConvNorm(joined, 2 * width)
        self.pool = AttentivePooling(2 * width, heads)
        self.head = nn.Sequential(
            nn.BatchNorm1d(4 * width), nn.Dropout(0.4), nn.Linear(4 * width, 96), nn.ReLU(), nn.Dropout(0.3)
        )
        self.classify = nn.Linear(96, labels)

    def embed(self, features: Tensor, mask: Tensor) -> Tensor:
        # Frames are valid from the start on without holes, so every second mask value is the mask of a stride of 2.
        half = mask[:, :, :, ::2]
        quarter = half[:, :, :, ::2]
        frames = quarter.sum(3, keepdim=True)
        x = F.relu(self.stem1(features.clamp(-CLIP, CLIP) * mask))
        x = F.relu(self.stem2(x * half))
        x = self.stem_spatial(self.stem_channel(x, quarter, frames), quarter)
        outputs = []
        for block in self.blocks:
            x = block(x, quarter, frames)
            outputs.append(x)
        x = F.relu(self.join(torch.cat(outputs, 1)))
        return self.head(self.pool(x, quarter))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.classify(self.embed(features, mask))


# `base`, and `small`: at most 0.3 ms of CPU a window at batch 8.
SIZES: dict[str, dict] = {"base": {}, "small": {"stem": 48, "width": 72}}


def network_of(state: dict) -> EmotionNet:
    """The averaged network of a checkpoint."""
    model = EmotionNet(len(state["channels"]), len(TRAINED), **state["options"]["model"])
    model.load_state_dict(state["average"])
    return model.to(memory_format=torch.channels_last)


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, channels: int, frames: int = 300) -> int:
    """Multiply-adds of the convolutions and linear layers for one window."""
    total = 0

    def hook(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, channels, 1, frames), torch.ones(1, 1, 1, frames))
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return total
