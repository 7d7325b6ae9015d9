"""Write files completely or not at all: under a temporary name, flushed, and then renamed."""

import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import TextIOWrapper
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT}
LEFT = 3600  # seconds after which nobody is still writing what nobody has written to


@contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a free path to write a file or folder at; it takes the target's place if the block succeeds.

    Every writer gets a path of its own, so several may write one target: the last one stays. What killed runs left is
    deleted after an hour.

    Raises:
        OSError: it cannot be written, or the target is a folder and what was written is a file.
    """
    if "\0" in str(target):  # of which Python says something else
        raise OSError(errno.EINVAL, "no path holds a NUL", str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    partial = _beside(target)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _flush(path)
        _place(partial, target)
        _flush(target.parent)
    except BaseException as error:
        if isinstance(error, OSError):
            _name(error, partial, target)
        with suppress(OSError):
            _remove(partial)
        raise


def _beside(target: Path, kind: str = "partial") -> Path:
    # Not the target's name and more, since that may be as long as a name can be
    return target.with_name(f".{os.getpid()}-{secrets.token_hex(8)}.{kind}")


def _name(error: OSError, partial: Path, target: Path) -> None:
    """Let an error of the file system name the file that was asked for. That of a write names none."""
    name = str(error.filename or partial)
    if error.errno and name.startswith(str(partial)):
        error.filename = f"{target}{name.removeprefix(str(partial))}"


def _place(partial: Path, target: Path) -> None:
    while partial.is_dir() and target.is_dir():  # a folder cannot be renamed over another
        old = _beside(target, "old")  # which is never swept: for a moment there is no other
        with suppress(FileNotFoundError):  # another writer was as quick
            target.rename(old)
        try:
            partial.rename(target)
        except OSError as error:
            if old.exists() and not target.exists():
                old.rename(target)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            _remove(old)
            return
        _remove(old)
    partial.replace(target)


@cache
def _sweep(folder: Path) -> None:
    """Delete what killed runs left in a folder, once a run."""
    for path in folder.glob(".*-????????????????.partial"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > LEFT:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring a file or a folder to the disk; some systems and shares cannot, and then it is theirs to do."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if path.is_file() and error.errno in (errno.EIO, *FULL):
            raise


def point(name: str, target: Path) -> None:
    """Make `name`, beside the target, a link to it; where links are forbidden, a copy if the target is a folder.

    Copies of a run may hold a folder in the link's place: it is an older target's copy, and gives way.
    """
    link, new = target.with_name(name), _beside(target)
    try:
        new.symlink_to(target.name)
    except OSError:
        if target.is_dir():
            with atomic(link) as copy:
                shutil.copytree(target, copy)
        else:
            _remove(link)  # nothing is better than an old one
        return
    if link.is_dir() and not link.is_symlink():
        _remove(link)
    try:
        new.replace(link)
    except OSError:
        new.unlink()
        raise


def explain(error: OSError) -> str:
    """What the file system refused, in a sentence with what to do."""
    name = readable(error.filename2 or error.filename or "")
    what = f"{name}: {error.strerror}." if name else f"{error.strerror or error}."
    if error.errno in FULL:
        return f"{what} Make room or choose another folder to write to; what is already written is kept."
    return what


@contextmanager
def kept_in_cache(what: str, failed: type[Exception]) -> Iterator[None]:
    """Say in a sentence that something cannot be stored in the cache, and that the cache may be elsewhere.

    Args:
        what: the subject of the sentence, in the plural. failed: what is raised in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        advice = "Make room there, or set" if error.errno in FULL else "Set"
        raise failed(
            f"{what} cannot be stored in {cache_folder()}: {error.strerror or error}. "
            f"{advice} CYCLEGAN_CACHE to a folder elsewhere."
        ) from None


def readable(path: str | Path) -> str:
    """A path as it can be printed and written, whatever bytes its name is made of."""
    return str(path).encode(errors="backslashreplace").decode().replace("\0", "\\0")


def print_anything() -> None:
    """Let names be printed that are no text, or that the terminal has no letters for, and lines come as they are told.

    In a log file, errors would otherwise stand before what was printed earlier.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)


def is_text(path: Path) -> bool:
    """Whether a path is UTF-8; safetensors (0.8) opens no other."""
    return readable(path) == str(path)


def cache_folder() -> Path:
    """Return the cache folder: $CYCLEGAN_CACHE, or else `cyclegan` in $XDG_CACHE_HOME or ~/.cache."""
    if given := os.environ.get("CYCLEGAN_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cyclegan"
