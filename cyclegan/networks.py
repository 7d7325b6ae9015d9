"""The networks of CycleGAN (Zhu et al. 2017, https://arxiv.org/abs/1703.10593, section 7.2 of the appendix)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["reflect", "zero"]
Upsample = Literal["transpose", "resize"]
PaddingMode = Literal["reflect", "zeros"]  # torch's names


def initialise(module: nn.Module) -> None:
    """Draw the weights of every convolution from N(0, 0.02) and set its biases to 0 (paper, section 7.1)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# Factors and summands of a layer's channels, two (B, C)
Change = tuple[Tensor, Tensor]
Changes = Sequence[Change | None]  # of each layer
FORMS = 2  # pixels of a half: what is larger is taken from it


class ConditionalNorm(nn.InstanceNorm2d):
    """Instance norm, then the scale and shift of a condition (Dumoulin et al. 2017, Eq. 5)."""

    def forward(self, x: Tensor, change: Change | None = None) -> Tensor:
        if change is None:
            return super().forward(x)
        # Every picture has a scale and a shift of its own, as if its channels were more channels of one picture
        scale, shift = (one.flatten() for one in change)
        return F.instance_norm(x.flatten(0, 1)[None], weight=scale, bias=shift).view_as(x)


class Layer(nn.Sequential):
    """A convolution, its norm and a ReLU. What a condition changes, it changes before the ReLU."""

    def forward(self, x: Tensor, change: Change | None = None) -> Tensor:
        for module in self:
            if isinstance(module, ConditionalNorm):
                x, change = module(x, change), None
            elif change is not None and isinstance(module, nn.ReLU):  # there was no norm
                scale, shift = (one[..., None, None] for one in change)
                x = module(torch.addcmul(shift, x, scale))
            else:
                x = module(x)
        return x


def norm_relu(convolution: nn.Conv2d | nn.ConvTranspose2d) -> Layer:
    return Layer(convolution, ConditionalNorm(convolution.out_channels), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a skip (Johnson et al. 2016, without the last ReLU): (B, C, H, W) -> same."""

    def __init__(self, channels: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.conv1 = norm_relu(nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode))
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        self.norm2 = ConditionalNorm(channels)

    def forward(self, x: Tensor, first: Change | None = None, second: Change | None = None) -> Tensor:
        return x + self.norm2(self.conv2(self.conv1(x, first)), second)


class Generator(nn.Module):
    """Translates pictures from one domain to the other.

    (B, 3, H, W) in [-1, 1] -> (B, 3, H, W) in [-1, 1]; H and W are multiples of `multiple`, at least two of them.
    A condition, (B, conditions) or (1, conditions), is a style or a palette; without one, or with zeros, the network
    chooses. Nothing in it depends on the batch or on training mode: InstanceNorm keeps no running statistics.

    Args:
        width: channels of the first convolution; 64 in the paper.
        blocks: residual blocks; 9 in the paper for pictures of 256 x 256 and above.
        padding: `reflect` as in the paper, or `zero`.
        upsample: `transpose` as in the paper, or `resize`: nearest-neighbour up-sampling and a 3x3 convolution,
            which leaves no checkerboard (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard).
        compact: do a quarter of the work, for speed. Squares of 2 x 2 pixels are folded into channels at the start and
            unfolded at the end (Shi et al. 2016, https://arxiv.org/abs/1609.05158). Features on the way up are added
            to those of the same size on the way down (similar to U-Net, Ronneberger et al. 2015,
            https://arxiv.org/abs/1505.04597). The first layer has no norm, because a normalised layer forgets how
            bright, contrasty and colourful a picture is.
        grey: make grey pictures, with three equal channels.
        conditions: numbers that can be given with a picture. They scale and shift each channel after its norm
            (conditional instance normalisation, Dumoulin et al. 2017, https://arxiv.org/abs/1610.07629). The map from
            them starts at zero, so a network without conditions can go on as one with conditions.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        padding: Padding = "reflect",
        upsample: Upsample = "transpose",
        compact: bool = False,
        grey: bool = False,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        if width < 1 or blocks < 0:
            raise ValueError(f"width must be at least 1 and blocks at least 0; got width={width}, blocks={blocks}.")
        modes: dict[str, PaddingMode] = {"reflect": "reflect", "zero": "zeros"}
        if padding not in modes:
            raise ValueError(f"padding must be 'reflect' or 'zero'; got {padding!r}.")
        if upsample not in ("transpose", "resize"):
            raise ValueError(f"upsample must be 'transpose' or 'resize'; got {upsample!r}.")
        self.width, self.blocks, self.padding, self.upsample = width, blocks, padding, upsample
        self.compact, self.grey, self.conditions = compact, grey, conditions
        fold = self.fold = 2 if compact else 1
        self.multiple = 4 * fold
        mode = modes[padding]
        w = width

        def outer(channels: int, out: int) -> nn.Conv2d:
            kernel = 3 if compact else 7
            return nn.Conv2d(channels, out, kernel, padding=kernel // 2, padding_mode=mode)

        def up(channels: int, out: int) -> Layer:
            if upsample == "transpose":
                return norm_relu(nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1))
            convolution = nn.Conv2d(channels, out, 3, padding=1, padding_mode=mode)
            return Layer(nn.Upsample(scale_factor=2), *norm_relu(convolution))

        stem = outer(3 * fold**2, w)
        # h, w are H, W, or half of them in a compact generator
        self.layers = nn.ModuleDict(
            {
                "stem": Layer(stem, nn.ReLU(inplace=True)) if compact else norm_relu(stem),  # (B, w, h, w)
                "down1": norm_relu(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1)),  # (B, 2w, h/2, w/2)
                "down2": norm_relu(nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1)),  # (B, 4w, h/4, w/4)
                **{f"block{i + 1}": ResidualBlock(4 * w, mode) for i in range(blocks)},
                "up1": up(4 * w, 2 * w),  # (B, 2w, h/2, w/2)
                "up2": up(2 * w, w),  # (B, w, h, w)
                "head": outer(w, (1 if grey else 3) * fold**2),  # (B, 3 fold^2, h, w), or fold^2
            }
        )
        self.apply(initialise)
        self.changed = [w, 2 * w, 4 * w, *[4 * w] * (2 * blocks), 2 * w, w]  # channels, in the order of the layers
        if conditions:
            self.condition = nn.Linear(conditions, 2 * sum(self.changed), bias=False)
            nn.init.zeros_(self.condition.weight)

    def forward(self, image: Tensor, condition: Tensor | None = None, large: bool = False) -> Tensor:
        """Args: large: the faces are about twice as large as those of the training; see `_large`."""
        change = self._changes(image, condition)
        made = self._large(image, change) if large else self._translate(image, change)[0]
        return made.expand(-1, 3, -1, -1)

    def _translate(self, image: Tensor, change: Changes, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The result, of 1 or 3 channels, and the features of the residual blocks, unless they are given.

        (B, 3, H, W) -> (B, C, H, W) and (B, 4 width, h/4, w/4).
        """
        layers, inner, (up1, up2) = self.layers, iter(change[2:-2]), change[-2:]
        stem = layers["stem"](F.pixel_unshuffle(image, self.fold), change[0])
        down = layers["down1"](stem, change[1])
        if features is None:
            features = layers["down2"](down, next(inner))
            for i in range(self.blocks):
                features = layers[f"block{i + 1}"](features, next(inner), next(inner))
        x = layers["up1"](features, up1)
        x = layers["up2"](x + down if self.compact else x, up2)
        x = layers["head"](x + stem if self.compact else x)
        return torch.tanh(F.pixel_shuffle(x, self.fold)), features

    def _large(self, image: Tensor, change: Changes) -> Tensor:
        """Translate the picture at half its size as well; H and W are multiples of 2 `multiple`.

        The residual blocks see too little of a large face, and paint hair as skin. So the forms come from the half. In
        a compact generator, whose finest features do not go through the blocks, the blocks see only the half.
        """
        half, features = self._translate(F.avg_pool2d(image, 2), change)
        doubled = F.interpolate(features, scale_factor=2.0, mode="bilinear") if self.compact else None
        made, _ = self._translate(image, change, doubled)
        return take_forms(made, half)

    def _changes(self, image: Tensor, condition: Tensor | None) -> Changes:
        if condition is None:
            return [None] * len(self.changed)
        # One condition for all pictures becomes one each. ONNX would leave out an `expand`, but not a sum
        values = self.condition(condition + image.new_zeros(image.shape[0], 1))  # (B, 2 sum(changed))
        factors, summands = values.chunk(2, 1)
        return list(zip((1 + factors).split(self.changed, 1), summands.split(self.changed, 1), strict=True))


def take_forms(made: Tensor, half: Tensor) -> Tensor:
    """Take all but the finest detail of a picture from another one of half its size, (B, C, H, W) and (B, C, H/2, W/2).

    H and W are multiples of 4. This is how the levels of a Laplacian pyramid are joined (Burt & Adelson 1983,
    https://doi.org/10.1109/TCOM.1983.1095851).
    """
    change = F.avg_pool2d(half, FORMS) - F.avg_pool2d(made, 2 * FORMS)
    return (made + F.interpolate(change, scale_factor=2.0 * FORMS, mode="bilinear")).clamp(-1, 1)


class PatchDiscriminator(nn.Module):
    """Judges overlapping 70 x 70 patches (Isola et al. 2017, https://arxiv.org/abs/1611.07004, section 6.1.2).

    (B, 3, H, W) in [-1, 1] -> (B, 1, H/8 - 2, W/8 - 2) unbounded scores, for least squares: 1 is real, 0 is fake.
    H and W are at least 32.

    Args:
        styles: kinds of pictures that it tells apart. The last layer has a score for each, and a picture is judged by
            the score of its own style, as the domains of StarGAN v2 are (Choi et al. 2020, section 2).
        spectral_norm: hold the largest singular value of each convolution at 1 (Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957), which keeps it from winning outright.
    """

    def __init__(self, width: int = 64, spectral_norm: bool = False, styles: int = 1) -> None:
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
            nn.Conv2d(8 * w, styles, 4, stride=1, padding=1),  # (B, styles, H/8 - 2, W/8 - 2)
        )
        self.apply(initialise)
        if spectral_norm:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    nn.utils.parametrizations.spectral_norm(layer)

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        """Args: style: (B,) int64, each picture's; it may be left out where there is one style only."""
        scores = self.layers(image)
        return scores[:, :1] if style is None else scores[torch.arange(len(scores)), style].unsqueeze(1)


class Features(nn.Module):
    """What VGG16 sees after relu1_2, relu2_2 and relu3_3 (Simonyan & Zisserman 2015, https://arxiv.org/abs/1409.1556).

    (B, 3, H, W) in [-1, 1] -> three tensors, of 64, 128 and 256 channels, at H, H/2 and H/4. It is never trained.
    """

    ENDS = (3, 8, 15)  # torchvision's numbers of those layers
    MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for out in (64, 64, 0, 128, 128, 0, 256, 256, 256):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()] if out else [nn.MaxPool2d(2)]
            channels = out or channels
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        mean, std = (image.new_tensor(values)[:, None, None] for values in (self.MEAN, self.STD))
        x = ((image + 1) / 2 - mean) / std
        seen = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.ENDS:
                seen.append(x)
        return seen
