"""Rewrite a generator for inference: the same function with fewer multiplications."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks import Generator


@torch.no_grad()
def rewrite(generator: Generator, winograd: bool) -> Generator:
    """Return a generator that computes the same function, up to rounding.

    On a CPU, convolutions take nine tenths of the time and run near the processor's peak, so only fewer products help.

    Args:
        winograd: also save a third of the products in the residual blocks. The height of a picture must then be an
            even multiple of `multiple`. The additions only pay off in large blocks, not in a compact generator.
    """
    rewritten = copy.deepcopy(generator)
    layers: Any = rewritten.layers
    if generator.upsample == "resize":
        for up in (layers["up1"], layers["up2"]):
            up[0], up[1] = nn.Identity(), DoublingConvolution(up[1])
    if layers["head"].out_channels <= 4:  # a vector register takes 16
        layers["head"] = FoldedConvolution(layers["head"])
    if winograd:
        for number in range(generator.blocks):
            block = layers[f"block{number + 1}"]
            block.conv1[0], block.conv2 = Winograd(block.conv1[0]), Winograd(block.conv2)
        layers["down2"].append(PairRows())  # (B, 4w, h/8, w/2)
        layers["up1"].insert(0, UnpairRows())  # (B, 4w, h/4, w/4)
    return rewritten


class PairRows(nn.Module):
    """Put each odd row to the right of the even one above it: (B, C, H, W) -> (B, C, H/2, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, 2)).flatten(3)


class UnpairRows(nn.Module):
    """What `PairRows` made -> what it was made of."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(3, (2, -1)).flatten(2, 3)


class Winograd(nn.Module):
    """A 3x3 convolution of pairs of rows, (B, C, H/2, 2W) -> same: four 1x3 products for two rows instead of six.

    This is F(2, 3) of Lavin & Gray 2015, https://arxiv.org/abs/1509.09308, along one side only, which rounds less. The
    even row of a pair lies on the left and the odd row on the right. This needs no copies, and InstanceNorm gives the
    same result.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        transform = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
        weights = torch.einsum("vk,oikl->voil", transform, convolution.weight).unsqueeze(3)  # (4, O, I, 1, 3)
        self.weights = nn.ParameterList(weights.unbind())
        self.bias = convolution.bias
        # Beyond the first row lies the second one reflected, which is the first of the odd; and so at the end
        self.modes = ("reflect", "replicate") if convolution.padding_mode == "reflect" else ("constant", "constant")

    def forward(self, x: Tensor) -> Tensor:
        columns, rows = self.modes
        width = x.shape[3] // 2
        even, odd = (F.pad(half, (1, 1, 0, 0), columns) for half in (x[..., :width], x[..., width:]))
        above = F.pad(odd, (0, 0, 1, 0), rows)[:, :, :-1]  # the odd row above each even one
        below = F.pad(even, (0, 0, 0, 1), rows)[:, :, 1:]  # the even row below each odd one
        first, second, third, fourth = self.weights
        both = F.conv2d(even + odd, second, self.bias)
        difference = F.conv2d(odd - even, third)
        upper = both + difference + F.conv2d(above - odd, first)
        lower = both - difference - F.conv2d(even - below, fourth)
        return torch.cat([upper, lower], 3)


class DoublingConvolution(nn.Module):
    """A 3x3 convolution of the picture doubled by nearest neighbours, without doubling it: 4 products instead of 9."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        sums = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.weight = nn.Parameter(torch.einsum("ak,oikl,bl->ioab", sums, convolution.weight, sums))
        self.bias = convolution.bias
        self.mode = "replicate" if convolution.padding_mode == "reflect" else "constant"

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), self.mode), self.weight, self.bias, stride=2, padding=3)


class FoldedConvolution(nn.Module):
    """A convolution to few channels that computes 2 x 2 pixels at once, as channels of a picture of half the size."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        out, channels, side, _ = convolution.weight.shape
        weight = torch.zeros(out, 2, 2, channels, side + 1, side + 1)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight[:, y, x, :, y : y + side, x : x + side] = convolution.weight
        self.weight = nn.Parameter(weight.flatten(0, 2))
        self.bias = nn.Parameter(convolution.bias.repeat_interleave(4))
        self.mode = "reflect" if convolution.padding_mode == "reflect" else "constant"

    def forward(self, x: Tensor) -> Tensor:
        around = self.weight.shape[-1] // 2 - 1
        return F.pixel_shuffle(F.conv2d(F.pad(x, (around,) * 4, self.mode), self.weight, self.bias, stride=2), 2)
