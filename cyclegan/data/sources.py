"""The sources of pictures: files, and the columns of data sets."""

import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

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


def find_pairs(photos: Path, sketches: Path) -> list[tuple[Path, Path]]:
    """Return the pairs in two folders, as `pair_files` does.

    Raises:
        DataError: a folder is missing, or as `pair_files`.
    """
    return pair_files((photos, find_images(photos)), (sketches, find_images(sketches)))


def pair_files(photos: tuple[Path, Sequence[Path]], sketches: tuple[Path, Sequence[Path]]) -> list[tuple[Path, Path]]:
    """Return pairs: files whose paths below their folders match apart from the extension, as in `match_names`.

    Files without a partner are skipped. Several sketches may have the same photo.

    Args:
        photos, sketches: a folder, and the files below it.

    Raises:
        DataError: nothing matches, or two files in one folder have the same name.
    """
    by_name: list[dict[str, Path]] = []
    for folder, files in (photos, sketches):
        found: dict[str, Path] = {}
        for file in files:
            name = file.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise DataError(f"{found[name]} and {file} have the same name. Keep the one that belongs to the pair.")
            found[name] = file
        by_name.append(found)
    of_photos, of_sketches = (list(found.values()) for found in by_name)
    places = match_names(list(by_name[0]), list(by_name[1])).tolist()
    pairs = [(of_photos[place], sketch) for place, sketch in zip(places, of_sketches, strict=True) if place >= 0]
    if not pairs:
        raise DataError(
            f"No picture in {photos[0]} has the same name as one in {sketches[0]}. Two files are a pair if their names "
            "match apart from the extension."
        )
    return pairs


def match_names(photos: Sequence[str], sketches: Sequence[str]) -> Tensor:
    """Return for each sketch the index of the photo with the same name, or -1: (number of sketches,) int64.

    >>> match_names(["anna", "ben"], ["ben", "clara"])
    tensor([ 1, -1])

    Args:
        photos, sketches: the names of the pictures: paths without their extension, or the rows of a data set.
    """
    places = {name: place for place, name in reversed(list(enumerate(photos)))}
    # A sketch in the folder of its style has its partner beside all other photos
    return torch.tensor([places.get(name, places.get(name.partition("/")[2], -1)) for name in sketches])


def find_styles(names: Sequence[str], pattern: str | None) -> tuple[list[str], Tensor]:
    """The styles of sketches, in order, and each sketch's number: (number of sketches,) int64.

    Args:
        names: of the sketches: paths without their ending. pattern: a regular expression to search for in them. A style
            is called as the named group that matches, or as what the first group holds. Without a pattern, the styles
            are the folders that the sketches lie in. Where there are none, all have one style, without a name.

    Raises:
        DataError: the pattern is wrong, or a name does not fit it.
    """
    if pattern is None:
        found = [name.partition("/")[0] if "/" in name else "" for name in names]
        if "" in found or len(set(found)) == 1:
            return [], torch.zeros(len(names), dtype=torch.int64)
    else:
        found = [_style(name, pattern) for name in names]
    styles = sorted(set(found))
    return styles, torch.tensor([styles.index(style) for style in found])


def _style(name: str, pattern: str) -> str:
    try:
        match = re.search(pattern, name)
        if match:
            return match.lastgroup or match[1]
    except (re.error, IndexError) as error:
        raise DataError(f"--style-pattern is a regular expression with a group; got {pattern!r} ({error}).") from None
    raise DataError(f"--style-pattern {pattern!r} does not match the sketch {name}. Every sketch needs a style.")
