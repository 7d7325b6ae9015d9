"""Random changes to a batch on its device: crops, flips, bare lines, light, and discriminator augmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor

DISCRIMINATOR_NUMBERS = 7  # random numbers per picture in `augment_judged`
LIGHT_NUMBERS = 9  # and in `relight`
ROUGH_GRID = 5  # places of a side that `roughen` may leave without lines
ROUGH_NUMBERS = 4 + ROUGH_GRID**2  # random numbers per picture in it
WARP_NUMBERS = 3  # and in `warp`


def crop_and_flip(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """Crop a window of `size` x `size` from each picture at its own corner, and mirror some: -> (B, C, size, size).

    Args:
        images: (B, C, S, S).
        corners: (B, 2), top and left of each window.
        flips: (B,) bool, true where a window is mirrored.
    """
    offsets = torch.arange(size)
    rows = corners[:, :1] + offsets  # (B, size)
    columns = corners[:, 1:] + torch.where(flips[:, None], size - 1 - offsets, offsets)  # (B, size)
    rows, columns = rows.to(images.device, non_blocking=True), columns.to(images.device, non_blocking=True)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def warp(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Turn, stretch and slant pictures about their middle; what comes in from beyond an edge is a reflection.

    Args:
        pictures: (B, C, S, S), like the result.
        numbers: (B, WARP_NUMBERS): radians of the turn, the logarithm of width over height, and the slant.
    """
    turn, stretch, slant = numbers.to(pictures, non_blocking=True).unbind(1)
    cos, sin, wide, none = turn.cos(), turn.sin(), (stretch / 2).exp(), torch.zeros_like(turn)
    rows = [cos * wide, slant - sin / wide, none], [sin * wide, cos / wide, none]
    matrices = torch.stack([torch.stack(row, 1) for row in rows], 1)  # (B, 2, 3)
    grid = F.affine_grid(matrices, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def augment_judged(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Differentiable augmentation: colour, translation and cutout (Zhao et al. 2020, https://arxiv.org/abs/2006.10738).

    A discriminator that only sees real and fake pictures through it cannot memorise a small domain.

    Args:
        pictures: (B, 3, S, S) in [-1, 1]. The colours of the result may leave that range slightly.
        numbers: (n, DISCRIMINATOR_NUMBERS) uniform in [0, 1), on the CPU. B is a multiple of n, and every n pictures
            reuse them.
    """
    size = pictures.shape[-1]
    numbers = numbers.repeat(len(pictures) // len(numbers), 1)
    brightness, saturation, contrast = (
        numbers[:, :3].to(pictures, non_blocking=True)[:, :, None, None, None].unbind(1)
    )  # (B, 1, 1, 1)
    pictures = pictures + (brightness - 0.5)
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * (2 * saturation)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * (0.5 + contrast)

    margin = size // 8
    corners = (numbers[:, 3:5] * (2 * margin + 1)).long()
    pictures = crop_and_flip(F.pad(pictures, [margin] * 4), corners, torch.zeros(len(pictures), dtype=torch.bool), size)

    hole = size // 2
    starts = (numbers[:, 5:7] * (size + 1)).long() - hole // 2  # the hole may hang over the edge
    distance = torch.arange(size) - starts[:, :, None]  # (B, 2, S)
    inside = (distance >= 0) & (distance < hole)
    keep = ~(inside[:, 0, :, None] & inside[:, 1, None, :])  # (B, S, S)
    return pictures * keep[:, None].to(pictures, non_blocking=True)


def bare_lines(sketches: Tensor, faintest: Tensor | float = 0.06) -> Tensor:
    """Remove the shading and paper of sketches, and leave their lines on white.

    Args:
        sketches: (B, 3, S, S) in [-1, 1], like the result.
        faintest: how much darker than what is around it a line is.
    """
    radius = max(1, sketches.shape[-1] // 64)
    around = F.avg_pool2d(F.pad(sketches, [radius] * 4, mode="reflect"), 2 * radius + 1, stride=1)
    return (1 - 4 * (around - sketches - faintest).clamp(0)).clamp(-1, 1)


def roughen(sketches: Tensor, numbers: Tensor) -> Tensor:
    """Draw sketches as beginners do: bare lines, perhaps few of them, with a thick finger, or filled with pale tones.

    Args:
        sketches: (B, 3, S, S) in [-1, 1], like the result.
        numbers: (B, ROUGH_NUMBERS) uniform in [0, 1).
    """
    size = sketches.shape[-2:]
    thick, few, filled, paleness = numbers[:, :4, None, None, None].unbind(1)  # (B, 1, 1, 1) each
    places = numbers[:, 4:].view(-1, 1, ROUGH_GRID, ROUGH_GRID)
    faintest = 0.06 + 0.24 * (few - 0.6).clamp(0)  # few lines: the strongest, and only in places
    fine = bare_lines(sketches, faintest)
    coarse = -F.max_pool2d(-bare_lines(F.avg_pool2d(sketches, 2), 0.1 + faintest), 3, stride=1, padding=1)
    lines = torch.where(thick < 0.3, F.interpolate(coarse, size, mode="bicubic").clamp(-1, 1), fine)
    drawn = F.interpolate(places, size, mode="bicubic") > 2.2 * (few - 0.6)
    tones = F.avg_pool2d(sketches, 8, ceil_mode=True).mul(4).round().div(4)
    pale = 1 - (1 - F.interpolate(tones, size)) * (0.15 + 0.3 * paleness)
    return torch.minimum(torch.where(drawn, lines, 1), torch.where(filled < 0.3, pale, 1))


def relight(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Make pictures look as if a phone had taken them: faded, too dark, in the shadow of a hand, in a lamp's colour.

    Args:
        pictures: (B, 3, S, S) in [-1, 1], like the result.
        numbers: (B, LIGHT_NUMBERS) uniform in [0, 1).
    """
    numbers = numbers.to(pictures)[:, :, None, None]  # (B, LIGHT_NUMBERS, 1, 1)
    fade, exposure, depth, angle, offset, softness = numbers[:, :6].split(1, 1)
    side = torch.linspace(-1, 1, pictures.shape[-1], device=pictures.device)
    across = side * torch.cos(2 * torch.pi * angle) + side[:, None] * torch.sin(2 * torch.pi * angle)  # (B, 1, S, S)
    shadow = torch.sigmoid((across - offset) * 2 ** (1 + 4 * softness))
    light = (0.7 + 0.4 * exposure) * (1 - 0.45 * depth * shadow) * (1 - 0.2 * numbers[:, 6:9])
    faded = 1 - (0.4 + 0.7 * fade) * (1 - pictures) / 2  # towards white
    return (2 * faded * light - 1).clamp(-1, 1)
