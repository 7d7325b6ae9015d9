"""Bring a photo or a drawing, as it comes from a phone, into the range that the models were trained on."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

LOOKED_AT = 256  # the longer side in pixels of what is judged
TILE = 16
WINDOW = 0.1  # of the longer side: the paper is the brightest within it
PRINTED = 0.03  # how much darker than the paper its lines are, from which on they are taken away
Kind = Literal["drawing", "photo", "blank"]


def _small(image: Image.Image) -> Image.Image:
    small = image.convert("RGB")
    small.thumbnail((LOOKED_AT, LOOKED_AT), Image.Resampling.BOX, reducing_gap=2.0)
    return small.filter(ImageFilter.GaussianBlur(0.8))


def _grey(values: np.ndarray) -> np.ndarray:
    return values @ np.array([0.299, 0.587, 0.114], np.float32)


def _tiles(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the deviation of each whole tile of TILE x TILE: (H, W) -> (n,), (n,)."""
    size = min(TILE, *grey.shape)
    rows, columns = (length // size for length in grey.shape)
    tiles = grey[: rows * size, : columns * size].reshape(rows, size, columns, size).transpose(0, 2, 1, 3)
    return tiles.mean((2, 3)).ravel(), tiles.std((2, 3)).ravel()


def _odd(length: float) -> int:
    """The nearest side of a window that has a middle, at least 3."""
    return max(3, round((length - 1) / 2) * 2 + 1)


def _brightest(values: Tensor, window: int) -> Tensor:
    """The largest of each window of an odd side: (C, H, W) -> (C, H, W)."""
    reach = window // 2
    return F.max_pool2d(F.max_pool2d(values, (1, window), 1, (0, reach)), (window, 1), 1, (reach, 0))


def _closing(values: np.ndarray, window: int) -> np.ndarray:
    """Take away what is dark and thinner than the window: (H, W, C) -> (H, W, C)."""
    channels = torch.from_numpy(values).permute(2, 0, 1)
    return (-_brightest(-_brightest(channels, window), window)).permute(1, 2, 0).numpy()


def _paper(small: Image.Image) -> Image.Image:
    """The colour of the paper under each pixel, never below half of the brightest there is."""
    paper = _closing(np.asarray(small, np.float32), _odd(WINDOW * max(small.size)))
    paper = np.maximum(paper, np.percentile(paper, 95, (0, 1)) / 2)
    return Image.fromarray(paper.astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))


def _is_negative(small: Image.Image) -> bool:
    """Whether light and thin strokes lie on dark ground, as on a blackboard."""
    grey = np.asarray(small.convert("L"), np.float32)
    low, middle, high = np.percentile(grey, [5, 50, 99])
    thick = -_brightest(torch.from_numpy(-grey)[None], _odd(0.05 * max(small.size))).numpy()
    return bool(
        middle < 110 and high - middle > max(60, 2 * (middle - low)) and np.mean(thick > (middle + high) / 2) < 0.01
    )


def is_blank(image: Image.Image) -> bool:
    """Whether it is a page or a wall with nothing on it."""
    small = _small(image)
    return _is_blank(_to_paper(small, _paper(small)))


def _is_blank(ratio: np.ndarray) -> bool:
    return bool(np.mean(ratio < 0.9) < 4e-4)


def _to_paper(small: Image.Image, paper: Image.Image) -> np.ndarray:
    """How bright each pixel is beside its paper: (H, W), 1 for paper. The 4 keep the noise of black out of it."""
    return _grey((np.asarray(small, np.float32) + 4) / (np.asarray(paper, np.float32) + 4))


def _printed(ratio: np.ndarray) -> float:
    """How much darker its lines are, on squared or lined paper: (H, W), 1 for paper -> 0 to 1.

    They are wherever nothing is drawn, so they are what is dark in the emptiest tenth of a side by a tenth. Of FS2K's
    drawings not one has more than 0.022 there.
    """
    size = max(1, max(ratio.shape) // 10)
    rows, columns = (length // size for length in ratio.shape)
    tiles = ratio[: rows * size, : columns * size].reshape(rows, size, columns, size)
    darkest, middle = np.percentile(tiles, [1, 50], (1, 3))
    return float((middle - darkest).min()) if rows and columns else 0.0


def judge(image: Image.Image) -> Kind:
    """Say what a picture is: a drawing, a photo, or blank, which is a page or a wall with nothing on it."""
    small = _small(image)
    return _judge(small, _to_paper(small, _paper(small)))


def _judge(small: Image.Image, ratio: np.ndarray) -> Kind:
    values = np.asarray(small, np.float32)
    if _is_blank(ratio):
        return "blank"
    if _is_negative(small):
        return "drawing"
    # Skin and walls are smooth and darker than paper. Of FS2K's drawings not one has a tile of that
    means, deviations = _tiles(ratio)
    if np.mean((means < 0.9) & (deviations < 0.06)) > 0.1:
        return "photo"
    red, green, blue = (_tiles(channel) for channel in values.transpose(2, 0, 1))
    smooth = (green[0] < 215) & (green[1] < 12)
    hue = ((red[0] - blue[0]) / (red[0] + green[0] + blue[0] + 1))[smooth]  # paper has one, in shadow and in light
    return "photo" if smooth.mean() > 0.2 and hue.std() > 0.03 else "drawing"


def prepare_sketch(image: Image.Image) -> Image.Image:
    """Bring a drawing to grey strokes on white paper, as the photo generator knows them.

    Shadows, the colour of the paper and its printed lines go, coloured fills become light tones, white on black is
    inverted, and faint strokes get darker. A good pencil drawing, a photo and a blank page come back as they are.
    """
    small = _small(image)
    paper = _paper(small)
    ratio = _to_paper(small, paper)
    if _judge(small, ratio) != "drawing":
        return image
    image = image.convert("RGB")
    if negative := _is_negative(small):
        image, small = (picture.point(lambda value: 255 - value) for picture in (image, small))
        paper = _paper(small)
    values = np.asarray(small, np.float32)
    means, deviations = _tiles(_grey(values))
    uneven = np.mean((deviations < 6) & (means < 205)) > 0.01 or np.percentile(_grey(values), 90) < 215
    colourful = np.ptp(values, 2).mean() > 5
    faint = np.percentile(_grey(values), 1) > 190
    printed = _printed(ratio) > PRINTED
    if not (negative or uneven or colourful or faint or printed):
        return image
    under = np.asarray(paper.resize(image.size, Image.Resampling.BICUBIC), np.float32)
    ink = (np.asarray(image, np.float32) / np.maximum(under, 1) * 1.03).clip(0, 1)
    # Where it is coloured in, the fill is a light tone, and strokes are what is darker than the fill around them
    fill = _closing(ink, _odd(max(image.size) / 60))
    colour = (np.ptp(fill, 2) * 4 + np.ptp(ink, 2) * 2).clip(0, 1)
    tone = fill.max(2)
    light = (ink.max(2) / np.maximum(tone, 0.05)).clip(0, 1) * (0.75 + 0.25 * tone)
    grey = _grey(ink) * (1 - colour) + light * colour
    if printed:
        lines = min(2 * _printed(grey), 0.5)  # elsewhere they are somewhat darker
        grey = 1 - (1 - grey - lines).clip(0) / (1 - lines)
    darkest = np.percentile(grey, 1)
    grey = 1 - (1 - grey) * np.clip(0.75 / max(1 - darkest, 0.01), 1, 3)
    return Image.fromarray((grey.clip(0, 1) * 250).round().astype(np.uint8)).convert("RGB")


def prepare_photo(image: Image.Image) -> Image.Image:
    """Bring a very dark or faded photo to a normal range of light; any other comes back as it is."""
    low, high = np.percentile(_grey(np.asarray(_small(image), np.float32)), [1, 99])
    if not 6 < high - low < 90:
        return image
    noisy = float(90 - high + low) / 80  # what is brightened much shows the camera's noise
    smooth = image.convert("RGB").filter(ImageFilter.GaussianBlur(max(image.size) / 256 * noisy))
    values = ((np.asarray(smooth, np.float32) - low) / (high - low)).clip(0, 1)
    return Image.fromarray((values * 225 + 10).round().astype(np.uint8))
