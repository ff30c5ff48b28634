"""The network: a causal 1D-CNN over time, then channel and spatial attention over a window. Data and training are elsewhere.

Two parts, so that overlapping windows share their work: the *encoder* sees each frame once and gives one embedding every
STRIDE frames; the *head* judges the last STEPS of them. Every convolution is causal: an embedding never depends on what
comes after it, nor on where the window begins. What the encoder has to remember between two calls is its `state`.

Convolutions are Conv2d with a 1×k kernel on [N, C, 1, T]: ONNX Runtime takes its faster 2D path.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data import FRAMES

# Normalised features beyond this many deviations say no more: a click must not drown the rest.
CLIP = 6.0
# Frames an embedding stands for: hops of 0.1, 0.25, 0.5 and 1 s are whole numbers of them.
STRIDE = 5
STEPS = FRAMES // STRIDE


class CausalConv(nn.Module):
    """Convolution over time and batch norm. `past` [N, cin, 1, self.past] is the input before x; zeros at the start."""

    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, (1, kernel), (1, stride), dilation=(1, dilation), bias=False)
        self.norm = nn.BatchNorm2d(cout)
        self.past = (kernel - 1) * dilation + 1 - stride

    def forward(self, x: Tensor, past: Tensor | None = None) -> Tensor:
        return self.step(x, past)[0]

    def step(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Also what comes before the next call."""
        if self.past == 0:
            return self.norm(self.conv(x)), x[..., :0]
        x = F.pad(x, (self.past, 0)) if past is None else torch.cat([past, x], 3)
        return self.norm(self.conv(x)), x[..., -self.past :]


class Block(nn.Module):
    """Residual block: two causal convolutions over time."""

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.first = CausalConv(channels, channels, kernel, dilation=dilation)
        self.second = CausalConv(channels, channels, kernel)
        self.dropout = nn.Dropout2d(dropout)

    def step(self, x: Tensor, past: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        y, first = self.first.step(x, past and past[0])
        y, second = self.second.step(self.dropout(F.relu(y)), past and past[1])
        return F.relu(x + y), [first, second]


class Encoder(nn.Module):
    """Features [N, C, 1, F] → embeddings [N, E, 1, F / STRIDE]. F must divide by STRIDE; every frame is valid."""

    def __init__(
        self,
        channels: int,
        width: int = 128,
        dilations: tuple[int, ...] = (1, 2, 4),
        kernel: int = 3,
        stem_kernel: int = 10,
        dropout: float = 0.15,
    ):
        super().__init__()
        self.stem = CausalConv(channels, width, stem_kernel, stride=STRIDE)
        self.blocks = nn.ModuleList(Block(width, kernel, d, dropout) for d in dilations)
        self.embedding = 2 * width
        self.join = CausalConv(width * len(dilations), self.embedding)
        # Channels and length of each convolution's past, in the order in which `state` holds them.
        self.pasts = [(channels, self.stem.past)] + [
            (width, conv.past) for block in self.blocks for conv in (block.first, block.second)
        ]

    @property
    def state_size(self) -> int:
        return sum(channels * length for channels, length in self.pasts)

    def forward(self, features: Tensor) -> Tensor:
        return self.run(features, None)[0]

    def step(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings of the next frames, and the state after them [N, state_size]; state 0 begins a talk-spurt."""
        parts = torch.split(state, [channels * length for channels, length in self.pasts], 1)
        pasts = [part.reshape(-1, c, 1, length) for part, (c, length) in zip(parts, self.pasts, strict=True)]
        embeddings, after = self.run(features, pasts)
        return embeddings, torch.cat([past.flatten(1) for past in after], 1)

    def run(self, features: Tensor, pasts: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        x, past = self.stem.step(features.clamp(-CLIP, CLIP), pasts and pasts[0])
        x, after, outputs = F.relu(x), [past], []
        for i, block in enumerate(self.blocks):
            x, past = block.step(x, pasts and pasts[1 + 2 * i : 3 + 2 * i])
            after += past
            outputs.append(x)
        return F.relu(self.join(torch.cat(outputs, 1))), after


class ChannelAttention(nn.Module):
    """One gate a channel, from the mean and the maximum over valid steps through one shared two-layer net (CBAM)."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        hidden = max(8, channels // reduction)
        self.net = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        mean = (x * mask).sum(3, keepdim=True) / mask.sum(3, keepdim=True)
        # x follows a ReLU, so zero never beats a valid step and padding cannot win the maximum.
        peak = (x * mask).amax(3, keepdim=True)
        return x * torch.sigmoid(self.net(mean) + self.net(peak))


class SpatialAttention(nn.Module):
    """One gate a step, from the mean and the maximum over channels through a convolution over time (CBAM)."""

    def __init__(self, kernel: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, (1, kernel), padding=(0, kernel // 2), bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1) * mask
        return x * torch.sigmoid(self.conv(summary))


class AttentivePooling(nn.Module):
    """Attention-weighted mean and deviation over valid steps, `heads` weights a step."""

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


class Head(nn.Module):
    """Embeddings [N, E, 1, T] and mask [N, 1, 1, T], 1 where a step is valid → logits [N, labels]."""

    def __init__(self, embedding: int, labels: int, heads: int = 4, hidden: int = 96):
        super().__init__()
        self.channel = ChannelAttention(embedding)
        self.spatial = SpatialAttention()
        self.pool = AttentivePooling(embedding, heads)
        self.dense = nn.Sequential(
            nn.BatchNorm1d(2 * embedding),
            nn.Dropout(0.4),
            nn.Linear(2 * embedding, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, labels),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.dense(self.pool(self.spatial(self.channel(x, mask), mask), mask))


class EmotionNet(nn.Module):
    """A whole window: features [N, C, 1, T] and mask [N, 1, 1, T] → logits [N, labels]. T must divide by STRIDE.

    Valid frames come first, without holes. The frames of a step that is not whole do not count.
    """

    def __init__(self, channels: int, labels: int, heads: int = 4, **encoder):
        super().__init__()
        self.encoder = Encoder(channels, **encoder)
        self.head = Head(self.encoder.embedding, labels, heads)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.encoder(features), mask[..., STRIDE - 1 :: STRIDE])


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, channels: int, frames: int = FRAMES) -> int:
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
