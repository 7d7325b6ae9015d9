"""Is it still that person? Faces compared by a network that was trained to recognise people.

The network is dlib's ResNet (King, "High Quality Face Recognition with Deep Metric Learning", 2017). It maps a face to
128 numbers. Two pictures whose numbers lie less than 0.6 apart count as the same person: the threshold that it was
trained with, at which it is right for 99.38 % of the pairs of Labeled Faces in the Wild.
"""

import math
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.sources import DataError
from ..extras import extra
from ..images import denormalise

SAME_PERSON = 0.6  # Euclidean distance of two descriptors
SEARCHED = 256  # pixels: the least side of a picture in which dlib's detector is sure to see a framed face
LANDMARKS, DESCRIPTOR = "shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat"


def find_models() -> Path:
    """The folder with dlib's networks."""
    package = find_spec("face_recognition_models")  # importing it needs a module that setuptools dropped
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("", name="face_recognition_models")
    return Path(package.submodule_search_locations[0], "models")


class Identity:
    """Compares pictures with the true photos of the same people.

    A face is described at the landmarks (five: the corners of the eyes, and the nose) that are found in the true photo.
    So a drawing is judged by its likeness, and not by whether landmarks are found in drawings.

    Args:
        photos: the true photos of all pairs, (3, H, W) in [-1, 1].

    Attributes:
        missed: in how many photos no face was found; their pairs are left out of all but `face_found`.

    Raises:
        DataError: the packages are not installed, or no photo shows a face.
    """

    def __init__(self, photos: Iterable[Tensor]) -> None:
        with extra("identity", "--identity", DataError):
            import dlib

            models = find_models()
        self._detect = dlib.get_frontal_face_detector()
        self._describe = dlib.face_recognition_model_v1(str(models / DESCRIPTOR))
        find_landmarks = dlib.shape_predictor(str(models / LANDMARKS))
        self._landmarks: list[Any] = []  # of each photo, or None
        known: list[Tensor] = []
        for photo in photos:
            pixels = _pixels(photo)
            face = max(self._faces(pixels), key=lambda face: face.area(), default=None)
            self._landmarks.append(find_landmarks(pixels, face) if face else None)
            known.append(self._descriptor(pixels, len(known)))
        self._known = torch.stack(known)  # (N, 128), NaN where there is no face
        self.missed = sum(one is None for one in self._landmarks)
        if self.missed == len(known):
            raise DataError("--identity needs photos of faces, but no face was found in any photo.")

    def _faces(self, pixels: np.ndarray) -> Any:
        doubled = max(1, math.ceil(math.log2(SEARCHED / min(pixels.shape[:2]))))  # so many times, to twice the size
        return self._detect(pixels, doubled)

    def _descriptor(self, pixels: np.ndarray, number: int) -> Tensor:
        """The descriptor at the landmarks of a photo: (128,)."""
        landmarks = self._landmarks[number]
        if landmarks is None:
            return torch.full((128,), torch.nan)
        return torch.tensor(list(self._describe.compute_face_descriptor(pixels, landmarks)))

    def figures(self, pictures: Tensor, rows: slice) -> dict[str, Tensor]:
        """Compare pictures with the photos of their pairs: (B, 3, H, W) in [-1, 1], placed as the photos are.

        Returns:
            (B,) each: `identity_distance`; `same_person`, 1 if that is below SAME_PERSON; `rank_1`, 1 if of all photos
            the true one is the nearest; `face_found`, 1 if a face is found without being told where to look. The first
            three are NaN where the true photo shows no face.
        """
        pixels = [_pixels(picture) for picture in pictures]
        numbers = range(rows.start, rows.start + len(pixels))
        described = torch.stack([self._descriptor(one, number) for one, number in zip(pixels, numbers, strict=True)])
        distances = (described[:, None] - self._known).norm(dim=2).nan_to_num(torch.inf)  # (B, N)
        own = distances[torch.arange(len(pixels)), torch.tensor(numbers)]
        unknown = own.isinf()
        judged = {
            "identity_distance": own,
            "same_person": (own < SAME_PERSON).float(),
            "rank_1": (own <= distances.amin(1)).float(),
        }
        found = torch.tensor([float(len(self._faces(one)) > 0) for one in pixels])
        return {name: values.masked_fill(unknown, torch.nan) for name, values in judged.items()} | {"face_found": found}


def _pixels(picture: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8, contiguous as dlib needs it."""
    return np.ascontiguousarray(denormalise(picture).cpu().numpy().transpose(1, 2, 0))
