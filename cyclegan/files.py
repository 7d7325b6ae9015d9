"""Files that are whole or not there: written beside their place, flushed, and then renamed into it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a free path to write a file or folder at; it takes the target's place if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    _remove(partial)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _flush(path)
        if target.is_dir():  # a folder cannot be renamed over another
            old = target.with_name(f".{target.name}.old")
            _remove(old)
            target.rename(old)
            partial.rename(target)
            _remove(old)
        else:
            partial.replace(target)
        _flush(target.parent)
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with suppress(PermissionError):  # Windows opens no folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def point(name: str, target: Path) -> None:
    """Make `name`, beside the target, a link to it; where links are forbidden (some Windows), there is none."""
    link = target.with_name(f".{name}.partial")
    with suppress(OSError):
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.replace(target.with_name(name))


def cache_folder() -> Path:
    """Where decoded pictures are kept: CYCLEGAN_CACHE, or `cyclegan` in the user's folder for such things."""
    if given := os.environ.get("CYCLEGAN_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cyclegan"
