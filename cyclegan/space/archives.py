"""Pictures in single files and zip files, which are never unpacked to disk."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo, is_zipfile

from ..images import ImageError

MAX_MEMBER = 50 * 2**20  # bytes of a picture in a zip, unpacked


def list_pictures(files: Iterable[Path]) -> list[tuple[str, Callable[[], bytes]]]:
    """Return the name of each picture, with its folders inside a zip file, and a function that reads its bytes.

    The function raises ImageError if a member is damaged, encrypted or too large.
    """
    found: list[tuple[str, Callable[[], bytes]]] = []
    for file in files:
        if is_zipfile(file):
            try:
                with ZipFile(file) as archive:
                    members = archive.infolist()
            except Exception as error:  # zipfile raises nearly anything on damaged archives
                found.append((file.name, partial(_fail, f"{file.name} is a damaged zip file ({error}).")))
                continue
            hidden = ("__MACOSX", ".")  # what a Mac adds
            found += [
                (member.filename, partial(_read, file, member))
                for member in members
                if not member.is_dir() and not any(part.startswith(hidden) for part in _parts(member.filename))
            ]
        else:
            found.append((file.name, file.read_bytes))
    return found


def _fail(message: str) -> bytes:
    raise ImageError(message)


def _read(archive: Path, member: ZipInfo) -> bytes:
    try:
        with ZipFile(archive) as opened, opened.open(member) as content:
            data = content.read(MAX_MEMBER + 1)  # what the member says of its size may be a lie
    except Exception as error:
        raise ImageError(f"{member.filename} cannot be unpacked ({error}). Create the zip file again.") from None
    if len(data) > MAX_MEMBER:
        raise ImageError(f"{member.filename} unpacks to more than {MAX_MEMBER // 2**20} MB. Make it smaller first.")
    return data


def _parts(name: str) -> list[str]:
    """Return the folders and the name of a zip member, without parts that lead out of the target folder."""
    return [part for part in PurePosixPath(name.replace("\\", "/")).parts if part.strip("./") and ":" not in part]


def png_name(name: str, taken: set[str]) -> str:
    """Return a free name in the resulting zip file: the folder and name of the source, with .png."""
    place = PurePosixPath(*(_parts(name) or ["picture"]))
    free = place.with_suffix(".png")
    number = 2
    while str(free).lower() in taken:
        free, number = place.with_name(f"{place.stem}-{number}.png"), number + 1
    taken.add(str(free).lower())
    return str(free)
