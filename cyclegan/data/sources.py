"""The sources of pictures: files, and the columns of data sets."""

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..extras import extra
from ..files import readable
from ..images import ENDINGS, ImageError, open_image

PATIENCE = 60.0  # seconds that an unreadable disk or share is waited for
PAUSE = 0.2


class DataError(ValueError):
    """A data set cannot be used. The message says what is wrong and what to do."""


@dataclass(frozen=True)
class Source:
    """The pictures of one domain in a fixed order.

    Args:
        title: the source's name in messages.
        names: the name of each picture. The two pictures of a pair have the same name.
        fingerprint: changes whenever a picture may have changed.
        read: returns the picture at an index, or raises ImageError. Several threads may call it at once.
    """

    title: str
    names: Sequence[str]
    fingerprint: str
    read: Callable[[int], Image.Image]


@dataclass(frozen=True)
class Half:
    """The left or the right half of a picture file that holds a pair side by side."""

    file: Path
    right: bool

    @property
    def stem(self) -> str:
        return self.file.stem


File = Path | Half


def open_file(file: File) -> Image.Image:
    """Open a picture file, or a half of one. Errors of the file system are tried again for PATIENCE seconds.

    Raises:
        ImageError: it cannot be used, while other files in its folder can be read. DataError: none can.
    """
    path = file.file if isinstance(file, Half) else file
    image = open_image(_read(path), readable(path))
    if isinstance(file, Half):
        middle = image.width // 2
        return image.crop((middle, 0, 2 * middle, image.height) if file.right else (0, 0, middle, image.height))
    return image


def _read(path: Path) -> bytes:
    started = time.monotonic()
    while True:
        try:
            return path.read_bytes()
        except (PermissionError, IsADirectoryError) as error:
            raise ImageError(f"{readable(path)} cannot be read: {error.strerror}.") from None
        except OSError as error:
            if time.monotonic() - started > PATIENCE:
                if _others_can_be_read(path):
                    raise ImageError(f"{readable(path)} cannot be read: {error.strerror}.") from None
                raise DataError(
                    f"{readable(path)} cannot be read, and nor can the other pictures in its folder "
                    f"({error.strerror}), for {PATIENCE:.0f} seconds. Bring the disk or the share back."
                ) from None
        time.sleep(PAUSE)


def _others_can_be_read(path: Path) -> bool:
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in itertools.islice((entry for entry in entries if entry.is_file() and entry.name != path.name), 3):
            with suppress(OSError), Path(entry.path).open("rb") as file:
                file.read(1)
                return True
    return False


def files_source(title: str, folder: Path, files: Sequence[File]) -> Source:
    """The pictures in some files, which are named by their paths below the folder."""
    paths = [file.file if isinstance(file, Half) else file for file in files]
    names = [readable(path.relative_to(folder).as_posix()) for path in paths]
    try:
        stats = [path.stat() for path in paths]
    except OSError as error:
        raise DataError(f"{readable(error.filename)} cannot be read: {error.strerror}.") from None
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(names, stats, strict=True)]
    fingerprint = hashlib.sha256(repr(facts).encode())
    for path in paths[:: -(-len(paths) // 16)]:  # of uncompressed pictures that were unpacked without their times,
        with suppress(OSError):  # photos and sketches may be alike in all the rest
            fingerprint.update(path.read_bytes())
    if isinstance(files[0], Half):
        fingerprint.update(b"right" if files[0].right else b"left")
    return Source(
        title=title,
        names=[name.rpartition(".")[0] for name in names],
        fingerprint=fingerprint.hexdigest(),
        read=lambda index: open_file(files[index]),
    )


def dataset_source(name: str, split: str, column: str) -> Source:
    """The pictures in a column of a data set on the Hub, or of a folder of shards.

    Raises:
        DataError: they are missing or cannot be loaded.
    """
    with extra("datasets", f"Reading hf:{name}", DataError):
        import datasets
    try:
        rows = datasets.load_dataset(name, split=split)
        columns = rows.column_names
        if column in columns:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # the library raises nearly anything: no network, no such split, damaged shards
        raise DataError(f"The {split} split of hf:{name} cannot be loaded: {_causes(error)}") from None
    if column not in columns:
        raise DataError(
            f"hf:{name} has no column {column}; it has {', '.join(columns)}. Photos and sketches each need a column: "
            "name them with --photo-column and --sketch-column."
        )
    title, images = f"the column {column} of hf:{name}, split {split}", rows.data.column(column)
    places = np.flatnonzero(images.is_valid())  # a row may hold a photo, a sketch or both
    if not len(places):
        raise DataError(f"There are no pictures in {title}.")

    def read(index: int) -> Image.Image:
        value = images[int(places[index])].as_py()
        return open_image(value["bytes"] or value["path"] or b"", f"Row {places[index]} of {title}")

    # The library's docs name it so, and offer no other way: https://huggingface.co/docs/datasets/about_cache
    return Source(title, [str(place) for place in places], rows._fingerprint, read)


def _causes(error: BaseException) -> str:
    """An error and what it comes from, in one line: the library's own words are often `An error occurred`."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause:
        words = " ".join(str(cause).split()) or type(cause).__name__
        if not any(words in others for others in told):
            told.append(words)
        cause = cause.__cause__ or cause.__context__
    return ": ".join(told)


def find_images(
    folder: Path, others: Iterable[str] = (), problems: list[str] | None = None, passed: list[Path] | None = None
) -> list[Path]:
    """Every file below the folder whose ending is that of a picture, in a fixed order; hidden ones are passed over.

    Links to folders are followed, each folder once.

    Args:
        others: more endings to look for, such as `.mp4`.
        problems: gets a sentence for each subfolder that cannot be read; without it they are an error.
        passed: gets every file with another ending.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"The folder {readable(folder)} is missing.")

    def closed(error: OSError) -> None:
        sentence = f"The folder {readable(error.filename)} cannot be read: {error.strerror}."
        if problems is None:
            raise DataError(sentence)
        problems.append(sentence)

    endings = {*ENDINGS, *others}
    found: list[Path] = []
    seen: set[str] = set()
    # Several times as fast as Path.rglob, and there may be very many
    for parent, folders, names in os.walk(folder, onerror=closed, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link led here before
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        if passed is not None:
            passed += [file for file in files if file.suffix.lower() not in endings]
        found += [file for file in files if file.suffix.lower() in endings and file.is_file()]
    return found
