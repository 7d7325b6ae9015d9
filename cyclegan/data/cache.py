"""A cache on disk of decoded pictures. Each picture is decoded when it is first needed, and never again.

The file starts with a 32-bit mark per picture, followed by the pixels. A mark is "not yet", "unreadable" or a checksum
of the pixels. Processes that share a file therefore need no lock and no order of writing: a picture that a killed
process or a power cut left half written does not match its mark and is decoded again.
"""

import errno
import hashlib
import itertools
import os
import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import numpy as np
import PIL
import torch
from torch import Tensor
from tqdm import tqdm

from ..files import cache_folder, kept_in_cache
from ..images import ImageError, crop_square, to_tensor
from .sources import DataError, Source

VERSION = 1  # of the file layout; another version makes new files
NOT_YET, UNREADABLE = 0, 1  # marks; see _checksum for the others


class Pictures:
    """The pictures of a source, cropped to squares: `pictures[[3, 1]]` is a (2, 3, size, size) uint8 tensor.

    An unreadable picture is named once in the output, and the next readable one replaces it. The pixels at an index
    depend only on the source, and not on what was decoded before.

    Raises:
        DataError: the cache cannot be written, or, when indexed, no picture of the source can be read.
    """

    def __init__(self, source: Source, size: int) -> None:
        self.source, self.names = source, source.names
        count = len(source.names)
        self.shape = (count, 3, size, size)
        key = hashlib.sha256(repr((VERSION, PIL.__version__, source.fingerprint, count, size)).encode())
        path = cache_folder() / f"{key.hexdigest()[:24]}.pixels"
        with self._stored():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
            os.truncate(path, count * (4 + 3 * size * size))  # all holes at first; a file that is there stays as it is
            self._file = path.open("r+b", buffering=0)
            if hasattr(os, "posix_fallocate"):  # a full tmpfs kills who reads a hole through a memory map
                os.posix_fallocate(self._file.fileno(), 0, 4 * count)
        self._marks = np.memmap(path, np.uint32, "r", shape=(count,))
        self._pixels = np.memmap(path, np.uint8, "r", offset=4 * count, shape=self.shape)
        self._readable: list[bool | None] = [None] * count  # as far as this process knows
        self._writing = threading.Lock()
        self._workers = ThreadPoolExecutor(os.cpu_count())  # threads: Pillow lets go of the interpreter as it decodes
        for index in np.flatnonzero(self._marks == UNREADABLE):
            self._mark(int(index), NOT_YET)  # a new run tries again, and names again what it cannot read

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: Sequence[int]) -> Tensor:
        for _ in self._workers.map(self._decode, {index for index in indices if not self._known(index)}):
            pass
        chosen = [self._stand_in(index) for index in indices]
        pinned = torch.cuda.is_initialized()  # from there the copy to the GPU runs beside the computation
        pictures = torch.empty((len(chosen), *self.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        np.take(self._pixels, chosen, axis=0, out=pictures.numpy(), mode="clip")  # any other mode makes a copy first
        return pictures

    def are_readable(self, indices: Sequence[int]) -> list[bool]:
        """Return which of some pictures, indexed before, are themselves and not a replacement."""
        return [bool(self._readable[index]) for index in indices]

    def _stand_in(self, index: int) -> int:
        for candidate in itertools.chain(range(index, len(self)), range(index)):
            if not self._known(candidate):
                self._decode(candidate)
            if self._readable[candidate]:
                return candidate
        raise DataError(f"None of the {len(self)} pictures in {self.source.title} can be read. See the reasons above.")

    def _known(self, index: int) -> bool:
        """Whether a picture was decoded, or found to be unreadable, by this process or another."""
        if self._readable[index] is None:
            mark = self._marks[index]
            if mark == UNREADABLE:
                self._readable[index] = False
            elif mark != NOT_YET and mark == _checksum(self._pixels[index]):
                self._readable[index] = True
        return self._readable[index] is not None

    def _decode(self, index: int) -> None:
        try:
            pixels = to_tensor(crop_square(self.source.read(index), self.shape[-1])).numpy()
        except ImageError as error:
            tqdm.write(f"Left out: {error}")
            self._mark(index, UNREADABLE)
            self._readable[index] = False
        else:
            self._write(self._pixels.offset + index * pixels.size, pixels.tobytes())
            self._mark(index, _checksum(pixels))
            self._readable[index] = True

    def _mark(self, index: int, mark: int) -> None:
        self._write(4 * index, np.uint32(mark).tobytes())

    def _write(self, position: int, content: bytes) -> None:
        # Not through the memory map, where a full disk is no error but a signal that kills
        with self._stored(), self._writing:
            self._file.seek(position)
            if self._file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _stored(self) -> AbstractContextManager[None]:
        return kept_in_cache(f"The decoded pictures of {self.source.title}", DataError)


def _checksum(pixels: np.ndarray) -> int:
    return zlib.crc32(pixels.data) | 2  # never a mark with another meaning
