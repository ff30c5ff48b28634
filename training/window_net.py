"""The teacher: a 1D-CNN over a whole window that looks both ways, with channel and spatial attention in every block.

It is not shipped: windows that overlap cannot share its work. The network that is (model.py) learns from it.

Every convolution is a Conv2d with a 1×k kernel on [N, C, 1, T], so that the ONNX export needs no reshaping and
ONNX Runtime takes its faster 2D path. `mask` [N, 1, 1, T] is 1 where a frame is valid; padding never reaches a result:
activations are multiplied by the mask before every convolution over time, and pooling counts valid frames only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import CLIP, AttentivePooling, ChannelAttention, SpatialAttention


class ConvNorm(nn.Sequential):
    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1):
        padding = (kernel - 1) // 2 * dilation
        super().__init__(
            nn.Conv2d(
                cin, cout, (1, kernel), (1, stride), (0, padding), (1, dilation), groups=groups, bias=False
            ),
            nn.BatchNorm2d(cout),
        )


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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = F.relu(self.first(x * mask))
        y = self.dropout(y)
        y = F.relu(x + self.second(y * mask))
        return self.spatial(self.channel(y, mask), mask)


class WindowNet(nn.Module):
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
        x = F.relu(self.stem1(features.clamp(-CLIP, CLIP) * mask))
        x = F.relu(self.stem2(x * half))
        x = self.stem_spatial(self.stem_channel(x, quarter), quarter)
        outputs = []
        for block in self.blocks:
            x = block(x, quarter)
            outputs.append(x)
        x = F.relu(self.join(torch.cat(outputs, 1)))
        return self.head(self.pool(x, quarter))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.classify(self.embed(features, mask))
