"""SCOOT, a measure of likeness that was made for drawn faces."""

from itertools import pairwise

import torch
from torch import Tensor

BLOCKS, LEVELS = 4, 6
NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1))  # (rows, columns): at 0, 45, 90 and 135 degrees


def scoot(one: Tensor, other: Tensor) -> Tensor:
    """Return how alike the texture of two drawings is, block by block: (N, H, W) uint8 each -> (N,) in (0, 1].

    Structure Co-Occurrence Texture: Fan et al. 2019, "Scoot: A Perceptual Metric for Facial Sketches"
    (https://arxiv.org/abs/1908.08433). Each picture is a vector of the contrast and the energy of 4 x 4 blocks, and the
    score is 1 / (1 + d), where d is the Euclidean distance of the two vectors. As in the authors' MATLAB code, 255 is
    divided into six grey levels, and the counts of the four orientations are averaged and then rounded.
    """
    return 1 / (1 + (_statistics(one) - _statistics(other)).norm(dim=1)).float()


def _statistics(grey: Tensor) -> Tensor:
    """(N, H, W) uint8 -> (N, 2 x 16) float64."""
    levels = (grey.long() * LEVELS // 255).clamp(max=LEVELS - 1)
    height, width = grey.shape[1:]
    rows, columns = ([side * edge // BLOCKS for edge in range(BLOCKS + 1)] for side in (height, width))
    statistics: list[Tensor] = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            statistics += _contrast_and_energy(levels[:, top:bottom, left:right])
    return torch.stack(statistics, 1)


def _contrast_and_energy(block: Tensor) -> tuple[Tensor, Tensor]:
    """Haralick's contrast and energy of the co-occurrences in a block: (N, H, W) of levels -> (N,), (N,)."""
    count, height, width = block.shape
    occurrences = torch.zeros(count, LEVELS * LEVELS, dtype=torch.float64)
    for down, right in NEIGHBOURS:
        here = block[:, max(0, -down) :, max(0, -right) : width - max(0, right)]
        there = block[:, : height + down, max(0, right) : width + min(0, right)]
        pairs = (LEVELS * here + there).flatten(1)
        occurrences.scatter_add_(1, pairs, torch.ones(pairs.shape, dtype=torch.float64))
    occurrences = (occurrences / len(NEIGHBOURS) + 0.5).floor()  # MATLAB rounds halves up
    share = (occurrences / occurrences.sum(1, keepdim=True)).view(count, LEVELS, LEVELS)
    level = torch.arange(LEVELS, dtype=torch.float64)
    contrast = (share * (level[:, None] - level).square()).sum((1, 2))
    return contrast, share.square().sum((1, 2))
