"""Load what the command `evaluate` measures on: the pairs, their styles and what is known of them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..data.layouts import DataSet, find_layout
from ..data.names import find_pairs, find_styles
from ..data.sources import DataError
from .groups import read_annotations
from .pairs import SIZE, PairSource, Squares, load_pairs
from .published import ANNOTATIONS, PublishedName, find_fs2k, load_published

SIZES = (32, 4096)  # pixels that squares may be compared at
ProtocolName = Literal["square"] | PublishedName


@dataclass(frozen=True)
class Loaded:
    """The pairs, with the style of each sketch, where styles are known, and what is known of each pair."""

    pairs: PairSource
    styles: list[str]
    attributes: list[dict[str, Any]]


def load(
    data: Path | DataSet,
    protocol: ProtocolName,
    working_size: int,
    size: int | None = None,
    style_pattern: str | None = None,
    groups: Path | None = None,
    swap_domains: bool = False,
) -> Loaded:
    """Load pairs of test pictures. The arguments are those of the command.

    Args:
        data: a folder, or a data set whose --photos and --sketches are the pairs.

    Raises:
        DataError: pictures or annotations are missing or no such thing, or the size or the pattern is wrong.
    """
    if size is not None and protocol != "square":
        raise DataError(f"--size works only with the protocol square; {protocol} has a fixed size.")
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise DataError(f"--size must be between {SIZES[0]} and {SIZES[1]}; got {size}.")
    pairs: PairSource
    if isinstance(data, Path) and protocol == "fs2k":
        files, annotations = find_fs2k(data)
        names = [photo.relative_to(data / "photo").with_suffix("").as_posix() for photo, _ in files]
        pairs, kept = load_published(protocol, files, names, working_size)
        attributes = [annotations[number] for number in kept]
        # As those name the files who train on it: the official names do not tell the style
        names = [f"{name}_style{one['style'] + 1}" for name, one in zip(pairs.names, attributes, strict=True)]
    elif (
        isinstance(data, Path) and protocol == "square" and find_layout(data).kind != "folders"
    ):  # A and B, or side by side
        found_in = DataSet(str(data), swap_domains=swap_domains)
        for note in found_in.notes():
            print(note, file=sys.stderr)
        read = load_pairs(found_in.test_pairs(), max(size or SIZE, working_size))
        pairs = Squares(read.photos, read.sketches, working_size, size or SIZE, read.names, read.skipped)
        attributes, names = [{} for _ in pairs.names], pairs.names
    else:
        if isinstance(data, Path):
            files, folder = find_pairs(*_folders(data)), data / "sketches"
        elif protocol == "fs2k":
            raise DataError("--protocol fs2k needs --data, the folder that FS2K is published in.")
        else:
            files, folder = data.matched_pairs()
        names = [sketch.relative_to(folder).with_suffix("").as_posix() for _, sketch in files]
        if protocol == "square":
            size = size or SIZE
            read = load_pairs(files, max(size, working_size), names)
            pairs = Squares(read.photos, read.sketches, working_size, size, read.names, read.skipped)
        else:
            pairs, _ = load_published(protocol, files, names, working_size)
        attributes, names = [{} for _ in pairs.names], pairs.names
    if groups:
        read_ones = read_annotations(groups, pairs.names)
        attributes = [one | more for one, more in zip(attributes, read_ones, strict=True)]
    styles: list[str] = []
    if style_pattern or protocol != "fs2k":  # its folders are no styles
        found, numbers = find_styles(names, style_pattern)
        styles = [found[number] for number in numbers.tolist()] if found else []
    if styles:
        attributes = [{"style": style} | one | {"style": style} for one, style in zip(attributes, styles, strict=True)]
    return Loaded(pairs, styles, attributes)


def _folders(data: Path) -> tuple[Path, Path]:
    for domain in ("photos", "sketches"):
        if not (data / domain).is_dir():
            inside = (data / "test" / domain).is_dir()
            advice = f"Use --data {data / 'test'}" if inside else "Put one half of each pair there"
            if (data / ANNOTATIONS).exists():
                advice = "Use --protocol fs2k for the folder that FS2K is published in"
            raise DataError(f"The folder {data / domain} is missing. {advice}.")
    return data / "photos", data / "sketches"
