"""What training writes down as it goes: tables of figures, the means of its losses, and alarms."""

import csv
import math
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from ..files import atomic
from . import TrainingError
from .guard import disk_errors
from .state import last_good

LOSSES = (
    "adversarial_sketch", "adversarial_photo", "cycle_photo", "cycle_sketch", "identity_photo", "identity_sketch",
    "paired_photo", "paired_sketch", "perceptual_photo", "palette_photo", "sketch_discriminator", "photo_discriminator",
    "sketch_correlation", "photo_correlation",
)  # fmt: skip
SHORT = {"adversarial": "adv", "cycle": "cycle", "identity": "id", "discriminator": "D"}  # for the progress bar
PLAIN_LINE_EVERY = 30.0  # seconds, where there is no terminal to draw a progress bar in

WON = 0.01  # a discriminator loss that leaves its generator nothing to learn; 0.25 is undecided
INVERTED = -0.2  # a luminance correlation that is no longer an accident


class Log:
    """The losses of a run: kept on their device until they are written to losses.csv, the tracker and the terminal.

    Args:
        output: the run's folder. first, last: the steps that it goes on after, and ends with. batch_size: of a step.
    """

    def __init__(
        self, accelerator: Accelerator, output: Path, epochs: int, first: int, last: int, total: int, batch_size: int
    ) -> None:
        self.accelerator, self.output, self.epochs, self.last, self.batch_size = (
            accelerator, output, epochs, last, batch_size,
        )  # fmt: skip
        self.history: list[tuple[int, str, Tensor]] = []
        self.warned: set[tuple[int, str]] = set()
        self.terminal, self.told_at = sys.stderr.isatty(), 0.0
        self.bar = tqdm(
            total=total * batch_size,
            initial=first * batch_size,
            unit="pair",
            disable=not accelerator.is_main_process or not self.terminal,
            dynamic_ncols=True,
        )
        self.step, self.waited = first, 0.0
        self.restart()

    def restart(self) -> None:
        """Measure the speed from now on, since what came before was no training."""
        self.at = time.perf_counter()

    def add(self, step: int, losses: dict[str, Tensor]) -> None:
        """Keep the losses of a step, or of a part of it; nothing waits for the device here."""
        self.history += [(step, name, value) for name, value in losses.items()]

    def say(self, line: str) -> None:
        self.bar.write(line, file=sys.stderr)

    def write(self, step: int, epoch: int, learning_rate: float, waited: float, plain: bool) -> dict[str, float]:
        """Write the mean losses since the last time, and return them.

        Args:
            waited: the seconds that the run has waited for pictures so far.
            plain: write a line in any case where there is no terminal.

        Raises:
            TrainingError: a loss was not finite, or the line cannot be written.
        """
        means = mean_losses(self.accelerator, self.history, self.output / "states")
        seconds = time.perf_counter() - self.at
        speed = {
            "pairs_per_second": (step - self.step) * self.batch_size / seconds,
            "data_wait": (waited - self.waited) / seconds,
        }
        rest = {"learning_rate": learning_rate, **speed}
        self.accelerator.log(means | rest, step=step)
        if self.accelerator.is_main_process:
            with disk_errors(self.output, step):
                append_row(
                    self.output / "losses.csv",
                    {"step": step, "epoch": epoch, **dict.fromkeys(LOSSES, "")} | means | rest,
                )
            for key, alarm in alarms(means):
                if (epoch, key) not in self.warned:
                    self.say(f"Step {step}: {alarm}")
                    self.warned.add((epoch, key))
            self._show(step, epoch, means, speed["pairs_per_second"], plain)
        self.history, self.step, self.waited = [], step, waited
        self.restart()
        return means

    def _show(self, step: int, epoch: int, means: dict[str, float], pace: float, plain: bool) -> None:
        kinds = {short: [value for name, value in means.items() if kind in name] for kind, short in SHORT.items()}
        self.bar.set_description(f"Epoch {epoch}/{self.epochs}")
        self.bar.set_postfix({short: f"{sum(values) / len(values):.3f}" for short, values in kinds.items() if values})
        if not self.terminal and (plain or time.monotonic() - self.told_at > PLAIN_LINE_EVERY):
            place = f"Epoch {epoch}/{self.epochs}, step {step} of {self.last}"
            self.say(f"{place}: {self.bar.postfix}, {pace:.3g} pairs per second")
            self.told_at = time.monotonic()


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a CSV file whose first column is the step; new columns are empty in the lines before."""
    found, lines = _read(path)
    columns = [*row, *(name for name in found if name not in row)]
    if columns != found or not all(line.endswith("\n") for line in lines[-1:]):
        rows = read_rows(path)
        _set_aside(path)
        _write(path, columns, rows)
    with path.open("a", newline="") as file:
        csv.DictWriter(file, columns).writerow(row)


def cut_rows(path: Path, step: float) -> None:
    """Take back what a killed run wrote after the state it is resumed from, and any line that is damaged."""
    if path.exists():
        columns, _ = _read(path)
        rows = [row for row in read_rows(path) if int(row[columns[0]]) <= step]
        _set_aside(path)
        if columns:
            _write(path, columns, rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table that were written to their end: those with a line end, a step and a value a column."""
    columns, lines = _read(path)
    whole = (line.rstrip("\r\n").split(",") for line in lines if re.match(r"[0-9]{1,15},.*\n\Z", line))
    return [dict(zip(columns, row, strict=True)) for row in whole if len(row) == len(columns) and all(map(_fits, row))]


def _fits(value: str) -> bool:
    """Whether it is a number, or nothing."""
    try:
        return value == "" or isinstance(float(value), float)
    except ValueError:
        return False


def _read(path: Path) -> tuple[list[str], list[str]]:
    """A table's columns, none if it is missing or its header is damaged, and its lines as they are."""
    if not path.exists():
        return [], []
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:  # spreadsheets put a mark in front
        header, *lines = file.readlines() or [""]
    return (header.rstrip().split(",") if re.match(r"step,.*\n\Z", header) else []), lines


def _set_aside(path: Path) -> None:
    """Move a table away whose header is not ours but says something: what a spreadsheet saved, for one."""
    if path.exists() and not _read(path)[0]:
        content = path.read_bytes().strip(b"\0\r\n")  # what a power cut leaves
        if content.count(b"\n"):
            path.replace(path.with_name(f"{path.stem}-{time.time_ns()}{path.suffix}"))
        else:
            path.unlink()


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
