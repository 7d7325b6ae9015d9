"""The pairs that a model is measured on, and how a protocol brings them to the model and to the comparison."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..data.sources import DataError, File, open_file
from ..images import ImageError, crop_square, normalise, to_tensor
from ..pipeline import BATCH
from .metrics import resize

SIZE = 128  # pixels: the side at which squares are compared
Given = TypeVar("Given")
Picture = TypeVar("Picture")


@dataclass(frozen=True)
class Pairs:
    """Paired pictures in the same order, (N, 3, S, S) uint8 each, their names, and why other pairs were left out."""

    photos: Tensor
    sketches: Tensor
    names: list[str]
    skipped: list[str]


def load_pairs(files: Sequence[tuple[File, File]], size: int, names: list[str] | None = None) -> Pairs:
    """Decode pairs into pictures of `size` x `size`. A pair with an unreadable picture is named and left out.

    Args:
        size: the working size or the compared size, whichever is larger.
        names: of the pairs. Not given: those of the photos.

    Raises:
        DataError: no pair can be read.
    """
    names = names or [photo.stem for photo, _ in files]
    kept, pairs, skipped = decode_pairs(files, lambda file: to_tensor(crop_square(open_file(file), size)))
    photos, sketches = (torch.stack(pictures) for pictures in zip(*pairs, strict=True))
    return Pairs(photos, sketches, [names[number] for number in kept], skipped)


def decode_pairs(
    files: Sequence[tuple[Given, Given]], decode: Callable[[Given], Picture]
) -> tuple[list[int], list[tuple[Picture, Picture]], list[str]]:
    """Read pairs: the numbers of those that can be read, their pictures, and why the others are left out.

    Raises:
        DataError: no pair can be read.
    """

    def decode_pair(pair: tuple[Given, Given]) -> tuple[Picture, Picture] | str:
        try:
            return decode(pair[0]), decode(pair[1])
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        results = list(enumerate(pool.map(decode_pair, files)))
    skipped = [result for _, result in results if isinstance(result, str)]
    kept = [(number, result) for number, result in results if not isinstance(result, str)]
    if not kept:
        raise DataError(f"None of the {len(files)} pairs can be read. The first problem: {skipped[0]}")
    return [number for number, _ in kept], [result for _, result in kept], skipped


class PairSource(Protocol):
    """Pairs with the protocol by which they are measured. A domain is `photo` or `sketch`.

    Pictures are (B, 3, H, W) in [-1, 1].

    Attributes:
        names, skipped: the names of the pairs, and why others were left out.
        batch: how many are measured at once.
        compared: in words, how they are compared.
        figures: options of `paired_figures`.
    """

    @property
    def names(self) -> list[str]: ...
    @property
    def skipped(self) -> list[str]: ...
    @property
    def batch(self) -> int: ...
    @property
    def compared(self) -> str: ...
    @property
    def figures(self) -> dict[str, Any]: ...

    def working(self, domain: str, rows: slice) -> Tensor:
        """The pictures of a domain as the model is given them."""
        ...

    def original(self, domain: str, target: str, rows: slice) -> Tensor:
        """The pictures of a domain as they are compared where results are of the domain `target`."""
        ...

    def result(self, made: Tensor, domain: str, target: str, rows: slice) -> Tensor:
        """Pictures of a domain that the model made, as they are compared where results are of the domain `target`."""
        ...


@dataclass(frozen=True)
class Squares:
    """The project's own protocol: centred squares, compared at `size` x `size` pixels, in tensors all the way."""

    photos: Tensor  # (N, 3, S, S) uint8
    sketches: Tensor
    working_size: int
    size: int = SIZE
    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    batch: int = BATCH
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def compared(self) -> str:
        return f"compared at {self.size} x {self.size}"

    def working(self, domain: str, rows: slice) -> Tensor:
        return self._resized(domain, rows, self.working_size)

    def original(self, domain: str, target: str, rows: slice) -> Tensor:
        return self._resized(domain, rows, self.size)

    def result(self, made: Tensor, domain: str, target: str, rows: slice) -> Tensor:
        return resize(made, self.size)

    def _resized(self, domain: str, rows: slice, size: int) -> Tensor:
        return resize(normalise((self.photos if domain == "photo" else self.sketches)[rows]), size)
