"""Folders of pictures -> unpaired batches.

The layout is the mission's: `train/photos train/sketches` and, for the samples, `test/photos test/sketches`.
Every picture is decoded once into a uint8 cache; a batch is then a matter of indexing.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .augmentation import crop_and_flip
from .images import ImageError, crop_square, normalise, open_image, to_tensor

CROP_MARGIN = 286 / 256  # the paper resizes to 286 and crops 256
MEMORY_LIMIT = 8 << 30  # bytes of decoded pictures per domain; above it they go to a memory-mapped file


class DataError(ValueError):
    """A data set that cannot be trained on; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Domain:
    """The decoded pictures of one domain: (N, 3, S, S) uint8, their names, and why the others were left out."""

    images: Tensor
    names: list[str]
    skipped: list[str]


def find_images(folder: Path) -> list[Path]:
    """Every file below the folder whose ending Pillow knows, in a fixed order; hidden ones are passed over.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"The folder {folder} is missing: the data set is laid out as train/photos, train/sketches, "
            "test/photos, test/sketches."
        )
    endings = Image.registered_extensions()
    files = (file for file in folder.rglob("*") if file.suffix.lower() in endings and file.is_file())
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def load_domain(
    folder: Path,
    size: int,
    at_most: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: bool = False,
) -> Domain:
    """Decode a folder into `size` x `size` pictures, on all cores; unreadable files are named and left out.

    Args:
        at_most: take only so many of the files, evenly spread. memory_limit: in bytes.

    Raises:
        DataError: the folder is missing, empty, or holds no readable picture.
    """
    files = find_images(folder)
    if not files:
        raise DataError(f"The folder {folder} holds no pictures: put the data set's images there.")
    if at_most and len(files) > at_most:
        files = [files[number * len(files) // at_most] for number in range(at_most)]
    shape = (len(files), 3, size, size)
    if int(np.prod(shape)) <= memory_limit:
        images = torch.empty(shape, dtype=torch.uint8)
    else:
        images = torch.from_numpy(np.memmap(tempfile.TemporaryFile(), np.uint8, "w+", shape=shape))  # noqa: SIM115

    def decode(file: Path) -> Tensor | str:
        try:
            return to_tensor(crop_square(open_image(file), size))
        except ImageError as error:
            return str(error)

    names: list[str] = []
    skipped: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = pool.map(decode, files)
        bar = tqdm(pictures, f"Decoding {folder}", len(files), unit="picture", disable=not progress, leave=False)
        for file, picture in zip(files, bar, strict=True):
            if isinstance(picture, str):
                skipped.append(picture)
            else:
                images[len(names)] = picture
                names.append(file.stem)
    if not names:
        raise DataError(f"None of the {len(files)} pictures in {folder} can be read. The first: {skipped[0]}")
    return Domain(images[: len(names)], names, skipped)


def match_names(photos: list[str], sketches: list[str]) -> Tensor:
    """For each sketch the number of the photo of the same name, or -1."""
    numbers = {name: number for number, name in enumerate(photos)}
    return torch.tensor([numbers.get(name, -1) for name in sketches])


def cache_size(image_size: int) -> int:
    """The side at which pictures are cached, a little above the training size, so that crops have room to move."""
    return round(image_size * CROP_MARGIN)


def step_rng(*numbers: int) -> torch.Generator:
    """The random numbers of one purpose in one step: a function of the seed, the step and the purpose's number."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


class Batch(NamedTuple):
    """Pictures (B, 3, H, W) in [-1, 1], and (B,) bool: where photo and sketch show the same face, cut the same way."""

    photo: Tensor
    sketch: Tensor
    paired: Tensor


class UnpairedBatches:
    """Batches of photos and sketches, drawn independently of each other and cropped and flipped at random.

    Each domain is an endless row of shuffled passes, so every batch is full and the smaller domain simply comes round
    more often. Batch `step` is a function of the seed and `step` alone: there is no position to save.

    Args:
        partners: for each sketch the number of the photo of the same face, or -1. Given, every second sketch comes
            with its partner, cropped and flipped alike; the rest stay unpaired.
    """

    PHOTOS, SKETCHES, AUGMENTATION, POOL, NOISE, DISCRIMINATORS = range(6)  # streams of random numbers

    def __init__(
        self,
        photos: Tensor,
        sketches: Tensor,
        image_size: int,
        batch_size: int,
        seed: int,
        partners: Tensor | None = None,
    ) -> None:
        self.photos, self.sketches, self.partners = photos, sketches, partners
        self.image_size, self.batch_size, self.seed = image_size, batch_size, seed
        self._passes: dict[int, tuple[int, Tensor]] = {}

    def __len__(self) -> int:
        """Steps in an epoch: enough to see every picture of the larger domain."""
        return -(-max(len(self.photos), len(self.sketches)) // self.batch_size)

    def indices(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Which photos and which sketches a batch holds, and which of them are pairs: three (B,)."""
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        photos, sketches = (
            torch.stack([self._pass(domain, number // size, size)[number % size] for number in numbers])
            for domain, size in ((self.PHOTOS, len(self.photos)), (self.SKETCHES, len(self.sketches)))
        )
        if self.partners is None:
            return photos, sketches, torch.zeros(self.batch_size, dtype=torch.bool)
        partners = self.partners[sketches]
        paired = (torch.tensor(numbers) % 2 == 0) & (partners >= 0)
        return torch.where(paired, partners, photos), sketches, paired

    def _pass(self, domain: int, number: int, size: int) -> Tensor:
        if self._passes.get(domain, (None,))[0] != number:
            self._passes[domain] = number, torch.randperm(size, generator=step_rng(self.seed, number, domain))
        return self._passes[domain][1]

    def load(self, step: int, part: slice, device: torch.device | str = "cpu") -> Batch:
        """One step's pictures, augmented on the device.

        Args:
            part: the share of the batch that this process takes; the random numbers are drawn for the whole batch,
                so that the pictures are the same however it is shared.
        """
        rng = step_rng(self.seed, step, self.AUGMENTATION)
        photos, sketches, paired = self.indices(step)
        room = self.photos.shape[-1] - self.image_size + 1
        corners = torch.randint(room, (2, self.batch_size, 2), generator=rng)
        flips = torch.rand((2, self.batch_size), generator=rng) < 0.5
        corners[1, paired], flips[1, paired] = corners[0, paired], flips[0, paired]
        photo, sketch = (
            normalise(
                crop_and_flip(
                    images[indices[part].tolist()].to(device, non_blocking=True),
                    corners[domain, part],
                    flips[domain, part],
                    self.image_size,
                )
            )
            for domain, (images, indices) in enumerate(((self.photos, photos), (self.sketches, sketches)))
        )
        return Batch(photo, sketch, paired[part].to(device, non_blocking=True))


def check(data: Path) -> tuple[list[str], bool]:
    """Look a data set over before training: the report's lines, and whether it can be trained on."""
    lines, usable = [], True
    for split in ("train", "test"):
        for domain in ("photos", "sketches"):
            folder = data / split / domain
            try:
                report, readable = _check_folder(folder)
            except DataError as error:
                report, readable = [str(error)], 0
            lines += report
            usable &= readable > 0 or split == "test"
    if usable:
        lines.append(f"Ready: accelerate launch train_accelerate.py --data {data}")
    else:
        lines.append("Not ready: training needs readable pictures in train/photos and in train/sketches.")
    return lines, usable


def _check_folder(folder: Path) -> tuple[list[str], int]:
    def examine(file: Path) -> tuple[int, int] | str:
        try:
            return open_image(file).size
        except ImageError as error:
            return str(error)

    files = find_images(folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(tqdm(pool.map(examine, files), str(folder), len(files), unit="picture", leave=False))
    sizes = [result for result in results if not isinstance(result, str)]
    bad = [result for result in results if isinstance(result, str)]
    lines = [f"{folder}: {len(sizes)} pictures" + (f", {_describe(sizes)}" if sizes else ": put the images there")]
    if bad:
        lines += [f"  {len(bad)} cannot be read and will be left out; replace or delete them:"]
        lines += [f"    {reason}" for reason in bad]
    return lines, len(sizes)


def _describe(sizes: Iterable[tuple[int, int]]) -> str:
    counts = Counter(sizes)
    (width, height), count = counts.most_common(1)[0]
    if len(counts) == 1:
        return f"all {width} x {height}"
    smallest, largest = min(counts, key=min), max(counts, key=max)
    return f"most often {width} x {height} ({count}), from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]}"
