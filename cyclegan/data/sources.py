"""The sources of pictures: folders and data sets.

A folder contains `train/photos`, `train/sketches` and, for the samples, `test/photos` and `test/sketches`. A data set
has a column of photos and a column of sketches.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..extras import extra
from ..images import ENDINGS, open_image


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


def find_pictures(data: str, domain: str, column: str, split: str = "train") -> Source:
    """Return the pictures of one domain of a data set.

    Args:
        data: a folder, or `hf:NAME[:SPLIT]`, where NAME is a data set on the Hub or a folder of shards.
        domain: `photos` or `sketches`, the name of the folder.
        column: the column of a data set.
        split: `train` or `test`. SPLIT replaces `train`.

    Raises:
        DataError: they are missing or cannot be loaded.
    """
    if named := re.fullmatch(r"hf:(.+?)(?::([^/\\]+))?", data):
        return _dataset(named[1], named[2] if named[2] and split == "train" else split, column)
    return _folder(Path(data) / split / domain)


def _folder(folder: Path) -> Source:
    files = find_images(folder)
    if not files:
        raise DataError(f"The folder {folder} contains no pictures. Put the images of the data set there.")
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
    with extra("datasets", f"Reading hf:{name}", DataError):
        import datasets
    try:
        rows = datasets.load_dataset(name, split=split)
        columns = rows.column_names
        if column in columns:
            rows = rows.cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # the library raises nearly anything: no network, no such split, damaged shards
        raise DataError(f"The {split} split of hf:{name} cannot be loaded: {error}") from None
    if column not in columns:
        raise DataError(
            f"hf:{name} has no column {column}; it has {', '.join(columns)}. Name the columns of the pictures with "
            "--photo-column and --sketch-column."
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
        raise DataError(
            f"The folder {folder} is missing. A data set has the folders train/photos, train/sketches, test/photos "
            "and test/sketches."
        )

    def closed(error: OSError) -> None:
        sentence = f"The folder {error.filename} cannot be read: {error.strerror}."
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
    """Return the pairs in two folders: files whose paths match apart from the extension, as in `match_names`.

    Files without a partner are skipped. Several sketches may have the same photo.

    Raises:
        DataError: a folder is missing, nothing matches, or two files in one folder have the same name.
    """
    by_name: list[dict[str, Path]] = []
    for folder in (photos, sketches):
        found: dict[str, Path] = {}
        for file in find_images(folder):
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
            f"No picture in {photos} has the same name as one in {sketches}. Two files are a pair if their names "
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
    raise DataError(f"--style-pattern {pattern!r} does not fit the sketch {name}: every sketch needs a style.")
