"""Folders and data sets of pictures -> unpaired batches.

A folder is laid out as `train/photos train/sketches` and, for the samples, `test/photos test/sketches`; a data set has
a column of photos and one of sketches. Pictures are decoded once, into the cache; a batch is then a matter of indexing.
"""

import hashlib
import itertools
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .augmentation import crop_and_flip
from .cache import DataError as DataError
from .cache import Pictures, Source
from .images import ImageError, normalise, open_image

CROP_MARGIN = 286 / 256  # the paper resizes to 286 and crops 256
AHEAD = 4  # batches that are assembled before they are asked for
T = TypeVar("T")


def find_pictures(data: str, domain: str, column: str, split: str = "train") -> Source:
    """The pictures of one domain of a data set.

    Args:
        data: a folder, or `hf:NAME[:SPLIT]` with the name of a data set on the Hub or of a folder of shards.
        domain: photos or sketches, the name of their folder. column: what a data set calls them.
        split: train or test; SPLIT takes the place of train.

    Raises:
        DataError: they are missing or cannot be loaded.
    """
    if named := re.fullmatch(r"hf:(.+?)(?::([^/\\]+))?", data):
        return _dataset(named[1], named[2] if named[2] and split == "train" else split, column)
    return _folder(Path(data) / split / domain)


def _folder(folder: Path) -> Source:
    files = find_images(folder)
    if not files:
        raise DataError(f"The folder {folder} holds no pictures: put the data set's images there.")
    names = [file.relative_to(folder).as_posix() for file in files]
    stats = [file.stat() for file in files]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(names, stats, strict=True)]
    fingerprint = hashlib.sha256(repr(facts).encode())
    for file in files[:: -(-len(files) // 16)]:  # of uncompressed pictures that were unpacked without their times,
        with suppress(OSError):  # photos and sketches may be alike in all the rest
            fingerprint.update(file.read_bytes())
    return Source(
        title=str(folder),
        names=[name.rpartition(".")[0] for name in names],
        fingerprint=fingerprint.hexdigest(),
        read=lambda index: open_image(files[index]),
    )


def _dataset(name: str, split: str, column: str) -> Source:
    try:
        import datasets
    except ImportError:
        raise DataError(f"hf:{name} is read by the library datasets: install it with pip install datasets.") from None
    try:
        rows = datasets.load_dataset(name, split=split)
        columns = rows.column_names
        if column in columns:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # the library raises nearly anything: no network, no such split, damaged shards
        raise DataError(f"The {split} split of hf:{name} cannot be loaded: {error}") from None
    if column not in columns:
        raise DataError(
            f"hf:{name} has no column {column}, only {', '.join(columns)}: say which ones hold the pictures "
            "with --photo-column and --sketch-column."
        )
    title, images = f"the column {column} of hf:{name}, split {split}", rows.data.column(column)
    places = np.flatnonzero(images.is_valid())  # a row may hold a photo, a sketch or both
    if not len(places):
        raise DataError(f"There are no pictures in {title}.")

    def read(index: int) -> Image.Image:
        value = images[int(places[index])].as_py()
        return open_image(value["bytes"] or value["path"] or b"", f"Row {places[index]} of {title}")

    return Source(title, [str(place) for place in places], rows._fingerprint, read)


def find_images(folder: Path, others: Iterable[str] = ()) -> list[Path]:
    """Every file below the folder whose ending Pillow knows, in a fixed order; hidden ones are passed over.

    Args:
        others: more endings to look for, such as `.mp4`.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"The folder {folder} is missing: the data set is laid out as train/photos, train/sketches, "
            "test/photos, test/sketches."
        )
    endings = {*Image.registered_extensions(), *others}
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):  # several times as fast as Path.rglob, and there may be very many
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        found += [file for file in files if file.suffix.lower() in endings and file.is_file()]
    return found


def match_names(photos: Sequence[str], sketches: Sequence[str]) -> Tensor:
    """For each sketch the index of the photo of the same name, or -1: (number of sketches,) int64.

    Args:
        photos, sketches: the names of the pictures: paths without their ending, or the rows of a data set.
    """
    places = {name: place for place, name in reversed(list(enumerate(photos)))}
    return torch.tensor([places.get(name, -1) for name in sketches])


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


class Drawn(NamedTuple):
    """A batch before its augmentation: (B, 3, S, S) uint8, in pinned memory beside CUDA, and random numbers."""

    photo: Tensor
    sketch: Tensor
    corners: Tensor  # (2, B, 2): of the windows, for the photos and for the sketches
    flips: Tensor  # (2, B) bool
    paired: Tensor  # (B,) bool


class UnpairedBatches:
    """Batches of photos and sketches, drawn independently of each other and cropped and flipped at random.

    Each domain is an endless row of shuffled passes, so every batch is full and the smaller domain simply comes round
    more often. Batch `step` is a function of the seed and `step` alone: there is no position to save.

    Args:
        partners: for each sketch the number of the photo of the same face, or -1. Given, every second sketch comes
            with its partner, cropped and flipped alike; the rest stay unpaired.
    """

    PHOTOS, SKETCHES, AUGMENTATION, POOL, NOISE, DISCRIMINATORS, LINES, LIGHT = range(8)  # streams of random numbers

    def __init__(
        self,
        photos: Tensor | Pictures,
        sketches: Tensor | Pictures,
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

    def read(self, step: int, part: slice) -> Drawn:
        """What one step's batch is made of, on the host.

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
        photo, sketch = self.photos[photos[part].tolist()], self.sketches[sketches[part].tolist()]
        for pictures, indices in ((self.photos, photos), (self.sketches, sketches)):
            if isinstance(pictures, Pictures):
                paired[part] &= torch.tensor(pictures.are_readable(indices[part].tolist()))
        return Drawn(photo, sketch, corners[:, part], flips[:, part], paired[part])

    def augment(self, drawn: Drawn, device: torch.device | str = "cpu") -> Batch:
        """Bring to the device what was read, and crop and flip it there."""
        photo, sketch = (
            normalise(crop_and_flip(pictures.to(device, non_blocking=True), corners, flips, self.image_size))
            for pictures, corners, flips in zip(drawn[:2], drawn.corners, drawn.flips, strict=True)
        )
        return Batch(photo, sketch, drawn.paired.to(device, non_blocking=True))


class Prefetch(Iterator[T]):
    """`read(*key)` for each key in order, done in a thread while the loop computes.

    What `read` raises comes out where its batch was due. `waited` adds up the seconds that the loop had to wait.
    """

    def __init__(self, read: Callable[..., T], keys: Iterable[tuple], ahead: int = AHEAD) -> None:
        self.waited = 0.0
        self._read, self._keys, self._ahead = read, iter(keys), ahead
        self._thread = ThreadPoolExecutor(1)  # one, so that `read` need not be safe to call twice at once
        self._due: deque[Future[T]] = deque()
        self._look_ahead()

    def _look_ahead(self) -> None:
        for key in itertools.islice(self._keys, self._ahead - len(self._due)):
            self._due.append(self._thread.submit(self._read, *key))

    def __next__(self) -> T:
        if not self._due:
            raise StopIteration
        batch = self._due.popleft()
        self._look_ahead()
        started = time.perf_counter()
        try:
            return batch.result()
        finally:
            self.waited += time.perf_counter() - started


def check(data: str, columns: dict[str, str]) -> tuple[list[str], bool]:
    """Look a data set over before training: the report's lines, and whether it can be trained on.

    Args:
        data, columns: see `find_pictures`; the columns by their domain.
    """
    lines, usable = [], True
    for split in ("train", "test"):
        for domain, column in columns.items():
            try:
                report, readable = _check(find_pictures(data, domain, column, split))
            except DataError as error:
                report, readable = [str(error)], 0
            lines += report
            usable &= readable > 0 or split == "test"
    if usable:
        lines.append(f"Ready: accelerate launch train_accelerate.py --data {data}")
    else:
        lines.append("Not ready: training needs readable photos and readable sketches in the train split.")
    return lines, usable


def _check(source: Source) -> tuple[list[str], int]:
    def examine(index: int) -> tuple[int, int] | str:
        try:
            return source.read(index).size
        except ImageError as error:
            return str(error)

    count = len(source.names)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(tqdm(pool.map(examine, range(count)), source.title, count, unit="picture", leave=False))
    sizes = [result for result in results if not isinstance(result, str)]
    bad = [result for result in results if isinstance(result, str)]
    lines = [f"{source.title}: {len(sizes)} pictures" + (f", {_describe(sizes)}" if sizes else "")]
    if bad:
        lines += [f"  {len(bad)} cannot be read, and others will stand in for them; replace or delete them:"]
        lines += [f"    {reason}" for reason in bad]
    return lines, len(sizes)


def _describe(sizes: Iterable[tuple[int, int]]) -> str:
    counts = Counter(sizes)
    (width, height), count = counts.most_common(1)[0]
    if len(counts) == 1:
        return f"all {width} x {height}"
    smallest, largest = min(counts, key=min), max(counts, key=max)
    return f"most often {width} x {height} ({count}), from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]}"
