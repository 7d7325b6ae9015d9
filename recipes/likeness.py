"""Is it still that person? Face recognition networks judge the faces of a batch, cut out as dlib does for its own."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import dlib
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx2torch import convert
from torch import Tensor, nn

from cyclegan.evaluation.identity import LANDMARKS, find_models
from cyclegan.images import denormalise

Points = NDArray[np.floating]
# Where dlib puts the corners of the eyes and the base of the nose: shares of the side (get_face_chip_details)
PLACES = np.array([[0.8596, 0.2135], [0.6461, 0.229], [0.1206, 0.2137], [0.3341, 0.2291], [0.4901, 0.6278]])
PADDING = 0.25
SHAKE = 0.015  # in training, so that no single pixel counts


class Likeness:
    """How unlike the people of true photos the photos made of them look.

    Args:
        files: networks in ONNX: faces, (N, 3, S, S) in [-1, 1] -> (N, D).
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._detect = dlib.get_frontal_face_detector()
        self._find = dlib.shape_predictor(str(find_models() / LANDMARKS))
        self._networks: list[tuple[nn.Module, int]] = []  # and the side of their faces
        for file in files:
            model = onnx.load(file)
            side = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
            self._networks.append((convert(model).eval().requires_grad_(False), side))

    def __call__(self, made: Tensor, photos: Tensor) -> Tensor:
        """The distance of the descriptors: the sum over the networks, the mean over the batch; 0 where no face is.

        Args:
            made, photos: (B, 3, S, S) in [-1, 1].
        """
        total = made.new_zeros(())
        for seen, known in self.describe(made, photos, SHAKE):
            total = total + (seen - known).norm(dim=1).sum() / len(made)
        return total

    def describe(self, made: Tensor, photos: Tensor, shake: float = 0.0) -> Iterator[tuple[Tensor, Tensor]]:
        """What each network says of the faces made and of the true ones, (N, D) both, for the N photos with a face.

        Args:
            made, photos: (B, 3, S, S) in [-1, 1]. shake: how far the faces are moved, as a share of their side.
        """
        maps: dict[int, Tensor] = {}
        for row, photo in enumerate(photos):
            landmarks = self._landmarks(photo)
            if landmarks is not None:
                places = PLACES + shake * torch.randn(PLACES.shape).numpy()
                maps[row] = similarity((places + PADDING) / (1 + 2 * PADDING), landmarks)
        if not maps:
            return
        rows, where = [*maps], torch.stack([*maps.values()])
        for network, side in self._networks:
            with torch.no_grad():
                known = network(cut_out(photos[rows], where, side))
            yield network(cut_out(made[rows], where, side)), known

    def _landmarks(self, photo: Tensor) -> Points | None:
        pixels = np.ascontiguousarray(denormalise(photo).permute(1, 2, 0).numpy())
        faces = sorted(self._detect(pixels, 0), key=lambda face: face.area())
        if not faces:
            return None
        return np.array([(point.x, point.y) for point in self._find(pixels, faces[-1]).parts()])


def similarity(start: Points, end: Points) -> Tensor:
    """The turn, scale and shift that take points nearest to others by least squares: (N, 2) both -> (2, 3)."""
    x, y = ((points - points.mean(0)) @ [1, 1j] for points in (start, end))
    turn = np.vdot(x, y) / np.vdot(x, x)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return torch.from_numpy(np.column_stack([matrix, end.mean(0) - matrix @ start.mean(0)])).float()


def cut_out(pictures: Tensor, maps: Tensor, side: int) -> Tensor:
    """Read pictures where the maps take the places of the result, shares of its side.

    Args:
        pictures: (B, 3, S, S). maps: (B, 2, 3).

    Returns:
        (B, 3, side, side).
    """
    shares = torch.stack(torch.meshgrid(*[torch.arange(side) / side] * 2, indexing="xy"), -1)  # (side, side, 2)
    places = torch.einsum("bij,hwj->bhwi", maps[..., :2], shares) + maps[:, None, None, :, 2]
    grid = 2 * places / (pictures.shape[-1] - 1) - 1
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=True)
