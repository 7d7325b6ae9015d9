"""What the names of pictures tell: which two are a pair, and the style of a sketch."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .sources import DataError, find_images


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
    places: dict[str, int] = {}
    for spell in (str, _composed):  # the same name is the better match
        for place, name in enumerate(photos):
            places.setdefault(spell(name), place)
    # A sketch in the folder of its style has its partner beside all other photos
    tried = ([name, name.partition("/")[2]] for name in sketches)
    return torch.tensor([
        next((places[name] for name in [*names, *map(_composed, names)] if name in places), -1) for names in tried
    ])  # fmt: skip


def _composed(name: str) -> str:
    """A name with each accent as a part of its letter: Macs write them apart, and other systems do not."""
    return unicodedata.normalize("NFC", name)


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
