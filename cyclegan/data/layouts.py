"""Where the pictures of a data set lie: the layouts that are in use, and what was probably meant by a wrong path."""

import difflib
import glob
import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from ..files import readable
from ..images import ENDINGS, ImageError, open_image
from .names import find_pairs, pair_files
from .sources import DataError, File, Half, Source, dataset_source, files_source, find_images

DOMAINS = ("photos", "sketches")
WIDE = 1.5  # a picture that is so many times as wide as high may hold two side by side
EXPECTED = "A data set has the folders train/photos, train/sketches, test/photos and test/sketches."
NO_FIGURES = "No release will be scored, and there will be no `best`:"
OTHER_NAMES = {"test": ("val", "valid", "validation"), "train": ("training",), "sketches": ("drawings",)}


@dataclass(frozen=True)
class DataSet:
    """A data set as the flags of training and of `check-data` name it.

    Args:
        data: a folder, or `hf:NAME[:SPLIT]`, where NAME is a data set on the Hub or a folder of shards.
        photo_column, sketch_column: the columns of a data set or of shards.
        photos, sketches: files, folders or patterns of the training pictures, in place of those in `data`.
        swap_domains: whether the photos are B or the right halves.

    Raises:
        DataError: the flags contradict each other.
    """

    data: str = ""
    photo_column: str = "photo"
    sketch_column: str = "sketch"
    photos: tuple[str, ...] = ()
    sketches: tuple[str, ...] = ()
    swap_domains: bool = False

    def __post_init__(self) -> None:
        if "\0" in self.data:
            raise DataError(f"--data must be a folder or hf:NAME; got {readable(self.data)}, which holds a NUL.")
        if bool(self.photos) != bool(self.sketches):
            raise DataError("--photos and --sketches must be used together. Pass a pattern for each.")
        if self.data.startswith("hf:") and self.photo_column == self.sketch_column:
            raise DataError(
                f"--photo-column and --sketch-column are both {self.photo_column}, so both domains would be photos. "
                "Use one column for photos and one for sketches."
            )

    def find(self, domain: str, split: str = "train") -> Source:
        """The pictures of a domain, `photos` or `sketches`, in a split, `train` or `test`; SPLIT replaces `train`.

        Raises:
            DataError: they are missing or cannot be loaded.
        """
        if self.photos and split == "train":
            title = f"--{domain} {' '.join(getattr(self, domain))}"
            return files_source(readable(title), *self._found()[DOMAINS.index(domain)])
        if not self.data and not self.photos:
            raise DataError("A data set is needed: pass --data FOLDER, or --photos and --sketches with a pattern each.")
        if not self.data:
            raise DataError("--photos and --sketches have no test pictures. Pass --data FOLDER with test/ instead.")
        if named := re.fullmatch(r"hf:(.+?)(?::([^/\\]+))?", self.data):
            column = self.photo_column if domain == "photos" else self.sketch_column
            return dataset_source(named[1], named[2] if named[2] and split == "train" else split, column)
        if self.data.startswith("hf:"):
            raise DataError(f"--data hf:NAME[:SPLIT] needs the name of a data set; got {self.data}.")
        layout = find_layout(Path(self.data))
        folder = layout.folder(domain, split, self.swap_domains)
        files: Sequence[File] = _images(folder, layout.root)
        if layout.kind == "halves":
            files = [Half(file, self._right(domain)) for file in files if isinstance(file, Path)]
        return files_source(readable(folder), folder, files)

    def test_pairs(self) -> Sequence[tuple[File, File]]:
        """The pairs of photos and sketches in the test split, which releases are scored on.

        Raises:
            DataError: there are none.
        """
        if self.data.startswith("hf:") or not self.data:
            raise DataError("scored pairs come only from a folder's test/photos and test/sketches.")
        layout = find_layout(Path(self.data))
        photos, sketches = (layout.folder(domain, "test", self.swap_domains) for domain in DOMAINS)
        for folder in (photos, sketches):
            files = _images(folder, layout.root)
        if layout.kind == "halves":
            return [(Half(file, self._right("photos")), Half(file, self._right("sketches"))) for file in files]
        return find_pairs(photos, sketches)

    def matched_pairs(self) -> tuple[list[tuple[Path, Path]], Path]:
        """The pairs among the pictures that --photos and --sketches name, and the folder of the sketches.

        Raises:
            DataError: there are none, or as `find`.
        """
        photos, sketches = self._found()
        return pair_files(photos, sketches), sketches[0]

    def notes(self) -> list[str]:
        """Sentences on what was not said by the flags: where the data set was found, and which domain is which."""
        if not self.data or self.data.startswith("hf:"):
            return []
        layout = find_layout(Path(self.data))
        notes = [] if layout.root == Path(self.data) else [f"The data set was found in {readable(layout.root)}."]
        if layout.kind != "folders" and not self.photos:
            sides = ("trainA", "trainB") if layout.kind == "letters" else ("the left halves", "the right halves")
            photos, sketches = reversed(sides) if self.swap_domains else sides
            other = "Without --swap-domains" if self.swap_domains else "With --swap-domains"
            notes.append(f"The photos are {photos} and the sketches are {sketches}. {other} it is the other way round.")
        return notes

    def flags(self) -> str:
        """The flags that name this data set, as a person types them."""
        words: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                words.append(f"--{field.name.replace('_', '-')}")
                words += [] if value is True else [value] if isinstance(value, str) else value
        return shlex.join(words)

    def _right(self, domain: str) -> bool:
        return (domain == "sketches") != self.swap_domains

    def _found(self) -> list[tuple[Path, list[Path]]]:
        """The pictures that --photos and --sketches name, with their folder; no picture can be both."""
        found = [_match(f"--{name}", getattr(self, name)) for name in DOMAINS]
        if both := set(found[0][1]) & set(found[1][1]):
            raise DataError(f"{readable(min(both))} matches both --photos and --sketches. It can only be one of them.")
        return found


class Layout(NamedTuple):
    """How a folder holds a data set: as photos and sketches, as A and B, or as pairs side by side in one file."""

    root: Path
    kind: Literal["folders", "letters", "halves"]

    def folder(self, domain: str, split: str, swapped: bool) -> Path:
        if self.kind == "letters":
            return self.root / f"{split}{'B' if (domain == 'sketches') != swapped else 'A'}"
        return self.root / split / (domain if self.kind == "folders" else "")


def find_layout(folder: Path) -> Layout:
    """The layout of a folder, or of the only data set up to two folders deeper, as archives unpack; else the usual."""
    found = [layout for root in [folder, *_below(folder)] if (layout := _layout(root))]
    if found and (found[0].root == folder or len(found) == 1):
        return found[0]
    return Layout(folder, "folders")


def _layout(root: Path) -> Layout | None:
    if any((root / "train" / domain).is_dir() for domain in DOMAINS):
        return Layout(root, "folders")
    if (root / "trainA").is_dir() or (root / "trainB").is_dir():
        return Layout(root, "letters")
    if (root / "train").is_dir() and not _folders(root / "train"):
        try:
            files = find_images(root / "train")
        except DataError:
            return None
        sizes = list(islice(filter(None, map(_size, files[:16])), 4))
        if sizes and all(width >= WIDE * height for width, height in sizes):
            return Layout(root, "halves")
    return None


def _size(file: Path) -> tuple[int, int] | None:
    """The size of a picture, if it can be read."""
    with suppress(ImageError):
        return open_image(file).size
    return None


def _images(folder: Path, root: Path) -> list[Path]:
    """The pictures of a folder; where it is missing, the error says what was probably meant."""
    if not folder.is_dir():
        raise DataError(" ".join([f"The folder {readable(folder)} is missing.", EXPECTED, *_near(folder, root)]))
    files = find_images(folder)
    if not files:
        raise DataError(f"The folder {readable(folder)} contains no pictures. Put the images of the data set there.")
    return files


def _near(folder: Path, root: Path) -> list[str]:
    """What was probably meant by a folder that is missing: a sentence, or none."""
    if not _layout(root):
        places = [*_below(root), *islice(root.absolute().parents, 2)]
        if meant := [readable(place) for place in places if _layout(place)]:
            return [f"Did you mean {' or '.join(meant)}?"]
    missing = next(path for path in [*reversed(folder.parents), folder] if not path.exists())
    names = {path.name.lower(): path for path in _folders(missing.parent)}
    likely = [name for name in OTHER_NAMES.get(missing.name, ()) if name in names]
    likely += difflib.get_close_matches(missing.name.lower(), names)
    if not likely:
        return []
    rename = "" if missing in (root, *root.parents) else f" Rename it to {missing.name}."
    return [f"Did you mean {readable(names[likely[0]])}?{rename}"]


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones and those that macOS adds to archives."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                Path(entry.path) for entry in entries
                if entry.is_dir() and not entry.name.startswith(".") and entry.name != "__MACOSX"
            )  # fmt: skip
    except OSError:
        return []


def _below(folder: Path) -> list[Path]:
    children = _folders(folder)
    return children + [deeper for child in children for deeper in _folders(child)]


def _match(flag: str, patterns: Sequence[str]) -> tuple[Path, list[Path]]:
    """The pictures that patterns match, in a fixed order, and the folder that their names are relative to."""
    matched = sorted({Path(name) for pattern in patterns for name in glob.glob(pattern, recursive=True)})  # noqa: PTH207
    files = sorted({file for path in matched for file in (find_images(path) if path.is_dir() else [path])})
    files = [file for file in files if file.suffix.lower() in ENDINGS and not file.name.startswith(".")]
    if not files:
        raise DataError(f"{flag} {' '.join(patterns)} matches no pictures. Quote the pattern, and try it with ls.")
    return Path(os.path.commonpath([file.parent for file in files])), files
