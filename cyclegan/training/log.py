"""What training writes down as it goes: tables of figures, the means of its losses, and alarms."""

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..files import atomic
from . import TrainingError
from .state import last_good

WON = 0.01  # a discriminator loss that leaves its generator nothing to learn; 0.25 is undecided
INVERTED = -0.2  # a luminance correlation that is no longer an accident


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a CSV file whose first column is the step; new columns are empty in the lines before."""
    found, lines = _read(path)
    columns = [*row, *(name for name in found if name not in row)]
    if columns != found or not all(line.endswith("\n") for line in lines[-1:]):
        _write(path, columns, read_rows(path))
    with path.open("a", newline="") as file:
        csv.DictWriter(file, columns).writerow(row)


def cut_rows(path: Path, step: float) -> None:
    """Take back what a killed run wrote after the state it is resumed from, and any line that is damaged."""
    if path.exists():
        columns, _ = _read(path)
        rows = [row for row in read_rows(path) if int(row[columns[0]]) <= step]
        if columns:
            _write(path, columns, rows)
        else:
            path.unlink()  # a power cut left it empty


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table that were written to their end: those with a line end, a step and a value a column."""
    columns, lines = _read(path)
    values = (next(csv.reader([line])) for line in lines if line.endswith("\n") and line[0].isdecimal())
    return [dict(zip(columns, row, strict=True)) for row in values if len(row) == len(columns) and row[0].isdecimal()]


def _read(path: Path) -> tuple[list[str], list[str]]:
    """A table's columns, none if it is missing or its header is damaged, and its lines as they are."""
    if not path.exists():
        return [], []
    with path.open(newline="", errors="replace") as file:
        header, *lines = file.readlines() or [""]
    return (header.rstrip().split(",") if header.startswith("step,") and header.endswith("\n") else []), lines


def _write(path: Path, columns: list[str], rows: Iterable[dict[str, str]]) -> None:
    with atomic(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def mean_losses(accelerator: Accelerator, history: list[tuple[int, str, Tensor]], states: Path) -> dict[str, float]:
    """The mean of each loss over the steps since the last line, and over all processes.

    Args:
        history: steps, names and values, still on the device.

    Raises:
        TrainingError: one was not a finite number.
    """
    values = accelerator.reduce(torch.stack([value for _, _, value in history]), "mean").tolist()
    by_name: dict[str, list[float]] = {}
    for (step, name, _), value in zip(history, values, strict=True):
        if not math.isfinite(value):
            raise TrainingError(f"The loss {name} was {value} in step {step}. {last_good(states)}")
        by_name.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in by_name.items()}


def alarms(means: dict[str, float]) -> Iterator[tuple[str, str]]:
    """The two ways in which training most often fails, where the losses show them: a key, and a sentence."""
    for domain in ("sketch", "photo"):
        if (loss := means[f"{domain}_discriminator"]) < WON:
            yield (
                f"{domain} discriminator",
                f"the {domain} discriminator wins outright (its loss is {loss:.3f}; 0.25 means undecided), so its "
                "generator learns little. Try --spectral-norm, --differentiable-augmentation or a larger pool.",
            )
        if (correlation := means[f"{domain}_correlation"]) < INVERTED:
            yield (
                f"{domain} generator",
                f"the {domain} generator inverts light and dark (the luminance of its pictures and their originals "
                f"correlates at {correlation:.2f}). Start again with another --seed or a higher --identity-weight.",
            )
