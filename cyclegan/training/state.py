"""A training state: one safetensors file with a tree of tensors, and in its header the facts that are no tensors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import atomic, point

Tree = dict[Any, Any]  # names or numbers -> leaves or trees


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
