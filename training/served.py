"""The network as it is shipped: what model.py computes, laid out as ONNX Runtime is quickest at it. Writing files is export.py.

The encoder of streams works on [N, steps, channels]: a convolution over few steps is one matrix product of the steps side
by side, and what it carries is joined on without turning tensors around (62 µs a half second instead of 86; of them 55 are
the products). Over a whole window convolutions stay convolutions, in blocks of 16 channels. The head works on
[N, steps, channels] too, and passes over its largest tensor 8 times instead of 15 (28 µs instead of 50).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data import LABELS, MERGED
from model import CLIP, STEPS, STRIDE, CausalConv, EmotionNet, Encoder

# Channels that a vector register of ONNX Runtime's blocked convolution takes at once.
BLOCK = 16


def folded(conv: CausalConv) -> tuple[Tensor, Tensor]:
    """Weights [out, in, kernel] and bias of a convolution with its batch norm."""
    norm = conv.norm
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = conv.conv.weight[:, :, 0].double() * scale[:, None, None]
    return weight.float(), (norm.bias.double() - norm.running_mean.double() * scale).float()


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """@param weight [out, in]"""
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
    made.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return made


def pointwise(conv: nn.Conv2d) -> nn.Linear:
    return linear(conv.weight.flatten(1), conv.bias)


def merging() -> Tensor:
    """[trained labels, labels]: 1 where a trained label counts as one of the product's seven."""
    parts = torch.zeros(len(MERGED), len(LABELS))
    for trained, label in enumerate(MERGED):
        if label >= 0:
            parts[trained, label] = 1
    return parts


class StepConv(nn.Module):
    """A causal convolution on [N, steps, channels] as one matrix product."""

    def __init__(self, conv: CausalConv, frames: int = 1):
        """@param frames that one step holds, one after the other: 1, or as many as the convolution's stride"""
        super().__init__()
        weight, bias = folded(conv)
        self.channels = frames * weight.shape[1]
        if weight.shape[2] % frames != 0:
            raise SystemExit(f"a kernel of {weight.shape[2]} frames is no whole number of steps of {frames}")
        self.kernel = weight.shape[2] // frames
        self.dilation = conv.conv.dilation[1]
        # Steps that come before its first.
        self.past = (self.kernel - 1) * self.dilation
        # Columns lie as the steps side by side do: step by step, frame by frame, channel by channel.
        self.product = linear(weight.transpose(1, 2).flatten(1), bias)

    def forward(self, x: Tensor, past: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """@param steps 0, 1, … one for each of x @returns [N · steps, out], and what comes before the next call"""
        x = torch.cat([past, x], 1)
        taps = torch.arange(0, self.past + 1, self.dilation)
        side_by_side = x.index_select(1, (steps[:, None] + taps).flatten())
        return self.product(side_by_side.reshape(-1, self.kernel * self.channels)), x[:, -self.past :]


class ServedEncoder(nn.Module):
    """features [N, C, 1, F], state [N, S] → embeddings [N, F / STRIDE, E], next_state [N, S]."""

    def __init__(self, network: EmotionNet):
        super().__init__()
        encoder = network.encoder
        self.stem = StepConv(encoder.stem, STRIDE)
        self.blocks = nn.ModuleList(
            nn.ModuleList([StepConv(block.first), StepConv(block.second)]) for block in encoder.blocks
        )
        self.join = linear(*(part.flatten(1) if part.dim() > 1 else part for part in folded(encoder.join)))
        self.width, self.embedding = encoder.stem.conv.out_channels, encoder.embedding
        self.pasts = [conv.past for block in self.blocks for conv in block]

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        channels, width, steps = self.stem.channels, self.width, features.shape[3] // STRIDE
        x = features.clamp(-CLIP, CLIP).squeeze(2).transpose(1, 2).reshape(-1, steps, channels)
        first, rest = torch.split(state, [self.stem.past * channels, sum(self.pasts) * width], 1)
        pasts = list(torch.split(rest.reshape(-1, sum(self.pasts), width), self.pasts, 1))
        numbers = torch.arange(steps)
        x, stem_past = self.stem(x, first.reshape(-1, self.stem.past, channels), numbers)
        x, after, outputs = F.relu(x), [], []
        for first_conv, second_conv in self.blocks:
            y, past = first_conv(x.reshape(-1, steps, width), pasts[len(after)], numbers)
            after.append(past)
            y, past = second_conv(F.relu(y).reshape(-1, steps, width), pasts[len(after)], numbers)
            after.append(past)
            x = F.relu(x + y)
            outputs.append(x)
        embeddings = F.relu(self.join(torch.cat(outputs, 1))).reshape(-1, steps, self.embedding)
        return embeddings, torch.cat([stem_past.flatten(1), torch.cat(after, 1).flatten(1)], 1)


class ServedHead(nn.Module):
    """embeddings [N, STEPS, E] and mask [N, STEPS] → logits [N, labels]: the trained labels summed into the product's seven.

    Embeddings follow a ReLU, and those of steps that are not valid are zero.
    """

    def __init__(self, network: EmotionNet):
        super().__init__()
        head, embedding = network.head, network.encoder.embedding
        self.squeeze, self.excite = pointwise(head.channel.net[0]), pointwise(head.channel.net[2])
        self.spatial = head.spatial.conv
        self.hidden, self.score = pointwise(head.pool.score[0]), pointwise(head.pool.score[2])
        norm, dense, last = head.dense[0], head.dense[2], head.dense[5]
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * scale
        weight = dense.weight.double()
        self.dense = linear((weight * scale).float(), (dense.bias.double() + weight @ shift).float())
        self.last, self.heads = last, head.pool.heads
        # Which channels a head weighs.
        self.register_buffer("shares", torch.eye(self.heads).repeat_interleave(embedding // self.heads, 1))
        self.register_buffer("parts", merging())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.log(torch.softmax(self.last(F.relu(self.dense(self.pooled(x, mask[:, None])))), 1) @ self.parts)

    def pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """@param mask [N, 1, STEPS]"""
        mean = torch.matmul(mask / mask.sum(2, keepdim=True), x).squeeze(1)
        # Both go through the same second layer, so their hidden values may be added before it.
        hidden = F.relu(self.squeeze(mean)) + F.relu(self.squeeze(x.amax(1)))
        gate = torch.sigmoid(F.linear(hidden, self.excite.weight, 2 * self.excite.bias))
        x = x * gate[:, None]
        summary = torch.stack([x.mean(2), x.amax(2)], 1) * mask
        x = x * torch.sigmoid(self.spatial(summary[:, :, None])).reshape(-1, STEPS, 1)
        scores = self.score(torch.tanh(self.hidden(x.reshape(-1, x.shape[2])))).reshape(-1, STEPS, self.heads)
        weights = torch.softmax(scores.transpose(1, 2) - (1 - mask) * 1e4, 2)
        # Of [N, heads, E] only a head's own channels count: less work than to take them apart before.
        mean = (torch.matmul(weights, x) * self.shares).sum(1)
        square = (torch.matmul(weights, x * x) * self.shares).sum(1)
        # Weights sum to 1, so the mean square around the mean is the mean of the squares less its square.
        return torch.cat([mean, torch.sqrt((square - mean * mean).clamp(min=0) + 1e-5)], 1)


class WindowEncoder(nn.Module):
    """features [N, C, 1, F] → embeddings [N, F / STRIDE, E], from nothing before them."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        weight, bias = folded(encoder.stem)
        channels = weight.shape[1]
        # Channels that are there twice weigh nothing the second time: they fill the last block.
        self.filling = -channels % BLOCK if channels >= BLOCK else 0
        self.past = encoder.stem.past
        self.stem = nn.Conv2d(channels + self.filling, weight.shape[0], (1, weight.shape[2]), (1, STRIDE))
        self.stem.weight = nn.Parameter(F.pad(weight, (0, 0, 0, self.filling))[:, :, None], requires_grad=False)
        self.stem.bias = nn.Parameter(bias, requires_grad=False)
        self.blocks, self.join = encoder.blocks, encoder.join

    def forward(self, features: Tensor) -> Tensor:
        x = features.clamp(-CLIP, CLIP)
        if self.filling > 0:
            x = torch.cat([x, x[:, : self.filling]], 1)
        x, outputs = F.relu(self.stem(F.pad(x, (self.past, 0)))), []
        for block in self.blocks:
            x = block.step(x, None)[0]
            outputs.append(x)
        return F.relu(self.join(torch.cat(outputs, 1))).flatten(2).transpose(1, 2)


class ServedWindow(nn.Module):
    """features [N, C, 1, FRAMES], mask [N, 1, 1, FRAMES] → logits [N, labels]."""

    def __init__(self, network: EmotionNet):
        super().__init__()
        self.encoder = WindowEncoder(network.encoder)
        self.head = ServedHead(network)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        steps = mask[..., STRIDE - 1 :: STRIDE].flatten(1)
        return self.head(self.encoder(features) * steps[..., None], steps)
