"""Unpaired batches. Pictures are decoded once into the cache, so a batch only needs indexing."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import normalise
from ..palette import PARTS, RECOLOUR_NUMBERS, read_palette, recolour, search_places
from .augmentation import WARP_NUMBERS, crop_and_flip, warp
from .cache import Pictures

CROP_MARGIN = 286 / 256  # the paper resizes to 286 and crops 256
AHEAD = 4  # batches that are assembled in advance
T = TypeVar("T")


def cache_size(image_size: int) -> int:
    """Return the side of cached pictures, slightly larger than the training size, so that crops can move."""
    return round(image_size * CROP_MARGIN)


def step_rng(*numbers: int) -> torch.Generator:
    """Return the random numbers of one purpose in one step, seeded by the seed, the step and the purpose."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


class Batch(NamedTuple):
    """Pictures (B, 3, H, W) in [-1, 1], and (B,) bool: whether photo and sketch show the same face, cropped alike."""

    photo: Tensor
    sketch: Tensor
    paired: Tensor
    style: Tensor  # (B,) int64: of the sketches
    palette: Tensor | None = None  # (B, 3, 4): of the photos, before they were cropped
    places: Tensor | None = None  # (B, 3, H, W): where the colours of the sketched faces are searched for


class Drawn(NamedTuple):
    """A batch before its crops: (B, 3, S, S) uint8, in pinned memory if CUDA is used, and random numbers."""

    photo: Tensor
    sketch: Tensor
    corners: Tensor  # (2, B, 2): of the windows, for the photos and for the sketches
    flips: Tensor  # (2, B) bool
    paired: Tensor  # (B,) bool
    style: Tensor  # (B,) int64
    side: int  # pixels: what the pictures are brought to before they are cropped
    colours: Tensor | None  # (B, 3, RECOLOUR_NUMBERS): for `recolour`
    warps: Tensor | None  # (2, B, WARP_NUMBERS): for `warp`


class UnpairedBatches:
    """Batches of photos and sketches, drawn independently and cropped and flipped at random.

    Each domain is an endless series of shuffled passes. Every batch is therefore full, and the smaller domain repeats
    more often. Batch `step` depends only on the seed and `step`, so there is no position to save.

    Args:
        partners: for each sketch the index of the photo of the same face, or -1. If given, every second sketch comes
            with its partner, cropped and flipped alike. The others stay unpaired.
        styles: for each sketch the number of its style.
        zoom: from how much to how much the pictures of a batch are enlarged before they are cropped; the pictures given
            are of the largest size. Faces are then of many scales.
        palette: read the photos' colours.
        recolour: the share of the photos that get other colours.
        warp: how far pictures are turned, stretched and slanted, see `augmentation.warp`.
    """

    # Streams of random numbers
    PHOTOS, SKETCHES, AUGMENTATION, POOL, NOISE, DISCRIMINATORS, LINES, LIGHT, ZOOM = range(9)
    CONDITIONS, COLOURS, WARP = range(9, 12)

    def __init__(
        self,
        photos: Tensor | Pictures,
        sketches: Tensor | Pictures,
        image_size: int,
        batch_size: int,
        seed: int,
        partners: Tensor | None = None,
        styles: Tensor | None = None,
        zoom: tuple[float, float] = (1.0, 1.0),
        palette: bool = False,
        recolour: float = 0.0,
        warp: float = 0.0,
    ) -> None:
        self.photos, self.sketches, self.partners = photos, sketches, partners
        self.styles = torch.zeros(len(sketches), dtype=torch.int64) if styles is None else styles
        self.zoom, self.palette, self.recolour, self.warp = zoom, palette, recolour, warp
        self.image_size, self.batch_size, self.seed = image_size, batch_size, seed
        self._passes: dict[int, tuple[int, Tensor]] = {}

    def __len__(self) -> int:
        """The steps in an epoch: enough to see every picture of the larger domain."""
        return -(-max(len(self.photos), len(self.sketches)) // self.batch_size)

    def indices(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the indices of the photos and sketches of a batch, and which of them are pairs: three (B,)."""
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
        """Read the pictures of one step's batch on the host.

        Args:
            part: the share of the batch for this process. Random numbers are drawn for the whole batch, so that the
                pictures do not depend on how it is divided.
        """
        rng = step_rng(self.seed, step, self.AUGMENTATION)
        photos, sketches, paired = self.indices(step)
        side = self._side(step)
        room = side - self.image_size + 1
        corners = torch.randint(room, (2, self.batch_size, 2), generator=rng)
        flips = torch.rand((2, self.batch_size), generator=rng) < 0.5
        corners[1, paired], flips[1, paired] = corners[0, paired], flips[0, paired]
        photo, sketch = self.photos[photos[part].tolist()], self.sketches[sketches[part].tolist()]
        for pictures, indices in ((self.photos, photos), (self.sketches, sketches)):
            if isinstance(pictures, Pictures):
                paired[part] &= torch.tensor(pictures.are_readable(indices[part].tolist()))
        colours = None
        if self.recolour:
            rng = step_rng(self.seed, step, self.COLOURS)
            colours = torch.rand(self.batch_size, len(PARTS), RECOLOUR_NUMBERS, generator=rng)
            colours[torch.rand(self.batch_size, generator=rng) >= self.recolour, :, 0] = 1  # these keep theirs
            colours = colours[part]
        warps = None
        if self.warp:
            rng = step_rng(self.seed, step, self.WARP)
            warps = self.warp * (2 * torch.rand(2, self.batch_size, WARP_NUMBERS, generator=rng) - 1)
            warps[1, paired] = warps[0, paired]
            warps = warps[:, part]
        style = self.styles[sketches[part]]
        return Drawn(photo, sketch, corners[:, part], flips[:, part], paired[part], style, side, colours, warps)

    def _side(self, step: int) -> int:
        """How large the pictures of a step are before they are cropped, in pixels."""
        (low, high), largest = self.zoom, self.photos.shape[-1]
        if low == high:
            return largest
        zoom = low + (high - low) * torch.rand((), generator=step_rng(self.seed, step, self.ZOOM)).item()
        return round(largest * zoom / high)

    def crop(self, drawn: Drawn, device: torch.device | str = "cpu") -> Batch:
        """Move a batch to the device, and crop and flip it there."""
        whole_photo, whole_sketch = (normalise(pictures.to(device, non_blocking=True)) for pictures in drawn[:2])
        if drawn.colours is not None:
            whole_photo = recolour(whole_photo, drawn.colours.to(device, non_blocking=True))
        views = [_enlarge(whole_photo, drawn.side), _enlarge(whole_sketch, drawn.side)]
        kinds = [0, 1]
        if self.palette:  # its colours are searched for where the sketched face is
            views.append(search_places(drawn.side).to(device).expand(len(whole_photo), -1, -1, -1))
            kinds.append(1)
        if drawn.warps is not None:
            views = [warp(view, drawn.warps[kind]) for view, kind in zip(views, kinds, strict=True)]
        photo, sketch, *places = (
            crop_and_flip(view, drawn.corners[kind], drawn.flips[kind], self.image_size)
            for view, kind in zip(views, kinds, strict=True)
        )
        paired, style = (numbers.to(device, non_blocking=True) for numbers in (drawn.paired, drawn.style))
        palette = read_palette(whole_photo) if self.palette else None
        return Batch(photo, sketch, paired, style, palette, *places)


def _enlarge(pictures: Tensor, side: int) -> Tensor:
    """(B, 3, S, S) -> (B, 3, side, side), bilinear with antialiasing; those of that side are left alone."""
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)


class Prefetch(Iterator[T]):
    """Calls `read(*key)` for each key in order, in a thread while the loop computes.

    An error in `read` is raised when its batch is due. `waited` is the total of seconds that the loop waited.
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
