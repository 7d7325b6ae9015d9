"""A training state: one safetensors file with a tree of tensors, and all other facts in its header."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import atomic, point
from . import TrainingError

# A resumed run must have these in common with its state. Every other flag may change
FIXED = (
    "batch_size",
    "width",
    "blocks",
    "padding",
    "upsample",
    "compact",
    "grey_sketches",
    "discriminator_width",
    "pool_size",
    "spectral_norm",
    "palette",
    "style_pattern",
    "gradient_accumulation",
    "seed",
    "swap_domains",
)

Tree = dict[Any, Any]  # names or numbers -> leaves or trees


def save_state(states: Path, step: int, tree: Tree, facts: dict[str, Any], keep: int) -> Path:
    """Write `states/step-N.safetensors`, point `latest` to it and delete all but the newest `keep` states.

    Args:
        tree: nested dictionaries whose leaves are tensors or JSON values.
        facts: JSON values.
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
        old.unlink(missing_ok=True)  # another process may have done so
    return target


def list_states(states: Path) -> list[Path]:
    """The states in a folder, oldest first; other files are left alone."""
    return sorted(path for path in states.glob("step-*") if re.fullmatch(r"step-\d{8}\.safetensors", path.name))


def last_good(states: Path) -> str:
    """Where a run can go on from whose losses or weights are no longer finite."""
    saved = list_states(states)
    if not saved:
        return "No state was saved before: start again with a lower --learning-rate or --mixed-precision no."
    return (
        f"The last good state is {saved[-1]}: go on from it with --resume and a lower --learning-rate or "
        "--mixed-precision no."
    )


def check_finite(tree: Tree, step: int, states: Path) -> None:
    """Refuse to save or release what is no longer a number.

    Raises:
        TrainingError: a tensor of the tree holds NaN or infinity.
    """
    tensors = [(name, leaf) for name, leaf in _flatten(tree) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    finite = torch.stack([tensor.isfinite().all().cpu() for _, tensor in tensors])
    if not finite.all():
        name = tensors[int(finite.int().argmin())][0]
        raise TrainingError(f"{name} was no longer finite after step {step}. {last_good(states)}")


def fingerprint(names: Sequence[str]) -> str:
    """Return the number of pictures and a hash of their names, because a run cannot continue with others."""
    return f"{len(names)} ({hashlib.sha256(chr(10).join(names).encode(errors='surrogateescape')).hexdigest()[:8]})"


def load_newest(states: Path, state: dict[str, Any], config: Any, pictures: dict[str, str]) -> tuple[int, float]:
    """Load the newest state, and return its step and best score. Without a state, return those of the start.

    Args:
        state: the parts, by name. config: the settings. pictures: the fingerprint of each domain.

    Raises:
        TrainingError: the state is damaged, or belongs to other networks, batches or pictures.
    """
    saved = list_states(states)
    if not saved:
        return 0, -math.inf
    step, tree, facts = load_state(saved[-1])
    was = facts["config"] | facts["pictures"]
    for name, now in ({name: getattr(config, name) for name in FIXED} | pictures).items():
        if was.get(name, now) != now:  # a state of an older version does not say every flag
            raise TrainingError(
                f"{saved[-1]} cannot be resumed: {name} was {was[name]} and is now {now}. "
                "Use the old value, or choose another --output."
            )
    for name, part in state.items():
        if name in tree or name != "scaler":  # a run that was not fp16 before goes on with a new scaler
            part.load_state_dict(tree.get(name, {}))
    return step, facts["best"]


def load_state(path: Path) -> tuple[int, Tree, dict[str, Any]]:
    """Read a state and return its step, tree and facts.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            header = {name: json.loads(value) for name, value in file.metadata().items()}
            leaves = {name: file.get_tensor(name) for name in file.keys()} | header["others"]  # noqa: SIM118
    except (SafetensorError, AttributeError, KeyError, ValueError) as error:
        raise TrainingError(
            f"The state {path} is damaged ({error}). Delete it to resume from the one before."
        ) from None
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
