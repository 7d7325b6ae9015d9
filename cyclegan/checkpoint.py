"""Files that are whole or not there: written beside their place, flushed, and then renamed into it.

A training state is one safetensors file: a tree of tensors, and in its header the facts that are no tensors.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

Tree = dict[Any, Any]  # names or numbers -> leaves or trees


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


def save_state(states: Path, step: int, tree: Tree, facts: dict[str, Any], keep: int) -> Path:
    """Write `states/step-N.safetensors`, point `latest` to it and delete all but the newest `keep` states.

    Args:
        tree: nested dictionaries whose leaves are tensors, or what JSON can hold. facts: what JSON can hold.
    """
    target = states / f"step-{step:08d}.safetensors"
    leaves = dict(_flatten(tree))
    tensors = {path: leaf.contiguous() for path, leaf in leaves.items() if isinstance(leaf, Tensor)}
    others = {path: leaf for path, leaf in leaves.items() if path not in tensors}
    header = {"step": step, "facts": facts, "others": others}
    with atomic(target) as partial:
        partial.write_bytes(save(tensors, {name: json.dumps(value, default=str) for name, value in header.items()}))
    point("latest", target)
    for old in list_states(states)[:-keep]:
        old.unlink()
    return target


def list_states(states: Path) -> list[Path]:
    """The states in a folder, oldest first."""
    return sorted(states.glob("step-*.safetensors"))


def load_state(path: Path) -> tuple[int, Tree, dict[str, Any]]:
    """Read a state back: its step, tree and facts.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            header = {name: json.loads(value) for name, value in file.metadata().items()}
            leaves = {name: file.get_tensor(name) for name in file.keys()} | header["others"]  # noqa: SIM118
    except (SafetensorError, AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"The state {path} is damaged ({error}): delete it to resume from the one before.") from None
    tree: Tree = {}
    for name, leaf in leaves.items():
        *parents, last = (int(part) if part.isdigit() else part for part in name.split("/"))
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = leaf
    return header["step"], tree, header["facts"]


def _flatten(tree: Tree, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
