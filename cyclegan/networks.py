"""The networks of CycleGAN (Zhu et al. 2017, https://arxiv.org/abs/1703.10593, section 7.2 of the appendix)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["reflect", "zero"]
Upsample = Literal["transpose", "resize"]
PaddingMode = Literal["reflect", "zeros"]  # torch's words for it


def initialise(module: nn.Module) -> None:
    """Draw the weights of every convolution from N(0, 0.02) and set its biases to 0 (paper, section 7.1)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def norm_relu(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a skip (Johnson et al. 2016, without the last ReLU): (B, C, H, W) -> same."""

    def __init__(self, channels: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.conv1 = norm_relu(nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode))
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        self.norm2 = nn.InstanceNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.conv1(x)))


class Generator(nn.Module):
    """Translates pictures from one domain to the other.

    (B, 3, H, W) in [-1, 1] -> (B, 3, H, W) in [-1, 1]; H and W are multiples of `multiple`, at least two of them.
    Nothing in it depends on the batch or on training mode: InstanceNorm keeps no running statistics.

    Args:
        width: channels of the first convolution; 64 in the paper.
        blocks: residual blocks; 9 in the paper for pictures of 256 x 256 and above.
        padding: `reflect` as in the paper, or `zero`.
        upsample: `transpose` as in the paper, or `resize`: nearest-neighbour up-sampling and a 3x3 convolution,
            which leaves no checkerboard (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard).
        compact: for speed, a quarter of the work: squares of 2 x 2 pixels are folded into channels first and unfolded
            last (Shi et al. 2016, https://arxiv.org/abs/1609.05158), and what is up-sampled is added to what had its
            size on the way down (as U-Net joins them, Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).
            Its first layer has no norm: a normalised one forgets how bright, contrasty and coloured a picture is.
        grey: make grey pictures: the three channels of what comes out are the same.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        padding: Padding = "reflect",
        upsample: Upsample = "transpose",
        compact: bool = False,
        grey: bool = False,
    ) -> None:
        super().__init__()
        if width < 1 or blocks < 0:
            raise ValueError(f"A generator needs width >= 1 and blocks >= 0, not width={width}, blocks={blocks}.")
        modes: dict[str, PaddingMode] = {"reflect": "reflect", "zero": "zeros"}
        if padding not in modes:
            raise ValueError(f"padding is 'reflect' or 'zero', not {padding!r}.")
        if upsample not in ("transpose", "resize"):
            raise ValueError(f"upsample is 'transpose' or 'resize', not {upsample!r}.")
        self.width, self.blocks, self.padding, self.upsample = width, blocks, padding, upsample
        self.compact, self.grey = compact, grey
        fold = self.fold = 2 if compact else 1
        self.multiple = 4 * fold
        mode = modes[padding]
        w = width

        def outer(channels: int, out: int) -> nn.Conv2d:
            kernel = 3 if compact else 7
            return nn.Conv2d(channels, out, kernel, padding=kernel // 2, padding_mode=mode)

        def up(channels: int, out: int) -> nn.Module:
            if upsample == "transpose":
                return norm_relu(nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1))
            convolution = nn.Conv2d(channels, out, 3, padding=1, padding_mode=mode)
            return nn.Sequential(nn.Upsample(scale_factor=2), *norm_relu(convolution))

        stem = outer(3 * fold**2, w)
        # Shapes for h, w = H, W, or half of them in a compact generator
        self.layers = nn.ModuleDict(
            {
                "stem": nn.Sequential(stem, nn.ReLU(inplace=True)) if compact else norm_relu(stem),  # (B, w, h, w)
                "down1": norm_relu(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1)),  # (B, 2w, h/2, w/2)
                "down2": norm_relu(nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1)),  # (B, 4w, h/4, w/4)
                **{f"block{i + 1}": ResidualBlock(4 * w, mode) for i in range(blocks)},
                "up1": up(4 * w, 2 * w),  # (B, 2w, h/2, w/2)
                "up2": up(2 * w, w),  # (B, w, h, w)
                "head": outer(w, (1 if grey else 3) * fold**2),  # (B, 3 fold^2, h, w), or fold^2
            }
        )
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        stem = self.layers["stem"](F.pixel_unshuffle(image, self.fold))
        down = self.layers["down1"](stem)
        x = self.layers["down2"](down)
        for i in range(self.blocks):
            x = self.layers[f"block{i + 1}"](x)
        x = self.layers["up1"](x)
        x = self.layers["up2"](x + down if self.compact else x)
        x = self.layers["head"](x + stem if self.compact else x)
        return torch.tanh(F.pixel_shuffle(x, self.fold)).expand(-1, 3, -1, -1)


class PatchDiscriminator(nn.Module):
    """Judges overlapping 70 x 70 patches (Isola et al. 2017, https://arxiv.org/abs/1611.07004, section 6.1.2).

    (B, 3, H, W) in [-1, 1] -> (B, 1, H/8 - 2, W/8 - 2) unbounded scores, for least squares: 1 is real, 0 is fake.
    H and W are at least 32.

    Args:
        spectral_norm: hold the largest singular value of each convolution at 1 (Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957), which keeps it from winning outright.
    """

    def __init__(self, width: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        w = width

        def block(channels: int, out: int, stride: int) -> list[nn.Module]:
            convolution = nn.Conv2d(channels, out, 4, stride=stride, padding=1)
            return [convolution, nn.InstanceNorm2d(out), nn.LeakyReLU(0.2, inplace=True)]

        self.layers = nn.Sequential(
            nn.Conv2d(3, w, 4, stride=2, padding=1),  # (B, w, H/2, W/2); no norm on the first layer
            nn.LeakyReLU(0.2, inplace=True),
            *block(w, 2 * w, stride=2),  # (B, 2w, H/4, W/4)
            *block(2 * w, 4 * w, stride=2),  # (B, 4w, H/8, W/8)
            *block(4 * w, 8 * w, stride=1),  # (B, 8w, H/8 - 1, W/8 - 1)
            nn.Conv2d(8 * w, 1, 4, stride=1, padding=1),  # (B, 1, H/8 - 2, W/8 - 2)
        )
        self.apply(initialise)
        if spectral_norm:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    nn.utils.parametrizations.spectral_norm(layer)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
