"""Measure a model with everything that works on this machine, and collect the figures in one report."""

import math
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from ..directions import Direction
from ..images import denormalise, to_image
from ..pipeline import BATCH, FaceSketchPipeline
from .groups import Groups
from .identity import Identity
from .metrics import (
    KID_SUBSET_SIZE,
    KID_SUBSETS,
    distribution_figures,
    load_inception,
    load_lpips,
    load_network,
    paired_figures,
    perceptual_figures,
)
from .pairs import PairSource
from .protocol import COPIED, PROTOCOL, Hints, MeasuredBatch, measure

WANTED = "_wanted"  # what follows a direction in the name of its true pictures
Figures = dict[str, float]  # metric -> value
Columns = dict[str, Tensor]  # metric -> the value of each pair, (N,), NaN where there is none


@dataclass(frozen=True)
class Report:
    """Everything that was measured on one set of pairs.

    A series is a direction, as in `photo_to_sketch`; the same when the model is given the true style or palette,
    `photo_to_sketch_given`; or the input returned unchanged, `photo_to_sketch_copied`.

    Attributes:
        compared: in words, how pictures were compared.
        given: in words, what the model was given in the series that end so; empty where there are none.
        figures: the figures of each series.
        groups: by attribute and value, the number of pairs and the figures of each series.
        pictures: for each series, the name and the figures of each pair; None where there is none.
        notes: sentences about omissions and pitfalls.
    """

    model: str
    data: str
    count: int
    working_size: int
    compared: str
    machine: str
    given: str
    figures: dict[str, Figures]
    groups: dict[str, dict[str, dict[str, Any]]]
    notes: list[str]
    pictures: dict[str, list[dict[str, Any]]]
    protocol: str = PROTOCOL


def make_report(
    pipe: FaceSketchPipeline,
    pairs: PairSource,
    model: str,
    data: str,
    hints: Hints | None = None,
    groups: Groups | None = None,
    identity: bool = False,
    vgg: nn.Module | None = None,
    look: Callable[[MeasuredBatch], None] | None = None,
) -> Report:
    """Measure a model with every metric that works on this machine, with a progress bar.

    Args:
        model, data: their names in the report.
        hints: what the model is given in series of their own, beside those in which it is given nothing.
        groups: pairs whose figures are also given apart.
        identity: whether to look if people can still be recognised.
        vgg: from `load_vgg`, for a KID of its features.
        look: called with every batch of pictures.
    """
    count, notes = len(pairs.names), [f"Left out: {reason}" for reason in pairs.skipped]
    lpips = load_network("LPIPS", load_lpips, notes)
    inception = load_network("FID and KID", load_inception, notes) if count > 1 else None
    given_networks = {"": inception, "_vgg": vgg if count > 1 else None}  # by the ending of their figures' names
    networks = {ending: network.to(pipe.device) for ending, network in given_networks.items() if network}
    if lpips:
        lpips.to(pipe.device)
    people = None
    if identity:
        parts = (pairs.working("photo", rows) for rows in batches_of(count, pairs.batch))
        people = Identity(photo for part in parts for photo in part)
        if people.missed:
            notes.append(
                f"Identity leaves out {people.missed} of {count} pairs: their photos show no face that is found."
            )

    found: dict[str, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
    features: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    rounds = [None] if hints is None else [None, hints]
    total = 2 * len(rounds) * len(batches_of(count, pairs.batch))
    measured = (batch for hints in rounds for batch in measure(pipe, pairs, count, hints))
    for batch in tqdm(measured, "Measuring", total, unit="batch", dynamic_ncols=True):
        given, made, wanted = batch.compared
        rated = [(batch.series, made, batch.figures)]
        described = {batch.series: made}
        if batch.series == batch.direction:  # what is the same in each round is measured in the first
            rated.append((batch.direction + COPIED, given, paired_figures(given, wanted, **pairs.figures)))
            described |= {batch.direction + COPIED: given, batch.direction + WANTED: wanted}
        with torch.inference_mode():
            for series, compared, of_batch in rated:
                of_batch |= perceptual_figures(compared, wanted, drawn=batch.direction.target == "sketch")
                if lpips:
                    of_batch["lpips"] = lpips(compared, wanted).flatten()  # (B,)
                if people:
                    of_batch |= identity_figures(people, batch, copied=series != batch.series)
                for name, values in of_batch.items():
                    found[series][name].append(values.cpu())
            for ending, network in networks.items():
                for series, compared in described.items():
                    features[ending, series].append(network(denormalise(compared)).cpu())  # (B, D)
        if look:
            look(batch)

    columns = {series: {name: torch.cat(values) for name, values in of.items()} for series, of in found.items()}
    figures = {series: means(of) for series, of in columns.items()}
    for series in figures:
        direction = next(direction for direction in Direction if series.startswith(direction))
        for ending in networks:
            sets = (torch.cat(features[ending, key]) for key in (series, direction + WANTED))
            distances = distribution_figures(*sets)
            figures[series] |= distances if not ending else {"kid" + ending: distances["kid"]}
    if networks:
        notes.append(f"KID uses {KID_SUBSETS} random subsets of {min(KID_SUBSET_SIZE, count)} of {count} pictures.")
    if inception:
        notes.append("FID grows as pictures get fewer, so compare it only between equal numbers of pictures.")
    for direction in Direction:
        parts = (pairs.working(direction.source, rows) for rows in batches_of(min(count, BATCH), pairs.batch))
        figures[direction] |= speed(getattr(pipe, direction), [picture for part in parts for picture in part])
    return Report(
        model=model,
        data=data,
        count=count,
        working_size=pipe.image_size,
        compared=pairs.compared,
        machine=describe_machine(pipe),
        given=hints.words if hints else "",
        figures=figures,
        groups={
            attribute: {
                value: {"count": len(rows)} | {series: means(columns[series], torch.tensor(rows)) for series in columns}
                for value, rows in values.items()
            }
            for attribute, values in (groups or {}).items()
        },
        notes=notes,
        pictures={series: by_picture(pairs.names, of) for series, of in columns.items()},
    )


def batches_of(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def identity_figures(people: Identity, batch: MeasuredBatch, copied: bool) -> dict[str, Tensor]:
    """How well the person can be recognised in results and reconstructions, or in the input itself."""
    given, made, _, cycled = batch.pictures
    if copied:  # a photo is compared with itself: that says nothing
        return people.figures(given, batch.rows) if batch.direction.source == "sketch" else {}
    back = people.figures(cycled, batch.rows)
    return people.figures(made, batch.rows) | {f"cycle_{name}": values for name, values in back.items()}


def means(columns: Columns, rows: Tensor | None = None) -> Figures:
    """The mean of each metric over the pairs, or those of the given numbers, that have it."""
    chosen = {name: column if rows is None else column[rows] for name, column in columns.items()}
    return {name: column.nanmean().item() for name, column in chosen.items() if not column.isnan().all()}


def by_picture(names: list[str], columns: Columns) -> list[dict[str, Any]]:
    """The figures of each pair, with its name."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    known = ([None if math.isnan(value) else value for value in row] for row in rows)
    return [{"name": name} | dict(zip(columns, row, strict=True)) for name, row in zip(names, known, strict=True)]


def speed(convert: Callable[[list[Image.Image]], list[Image.Image]], pictures: list[Tensor]) -> Figures:
    """Return milliseconds per picture, PIL to PIL at the working size: medians of ten single ones and three batches."""

    def milliseconds(images: list[Image.Image], repeats: int) -> float:
        times = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            convert(images)
            times.append(time.perf_counter() - start)
        return 1000 * statistics.median(times[1:]) / len(images)  # the first warms up

    images = [to_image(picture) for picture in pictures]
    return {"one_ms": milliseconds(images[:1], 10), "batch_ms": milliseconds((images * BATCH)[:BATCH], 3)}


def describe_machine(pipe: FaceSketchPipeline) -> str:
    """Describe the machine that the speed was measured on."""
    if pipe.device.type == "cuda":
        device = torch.cuda.get_device_name(pipe.device)
    else:
        device = f"{pipe.device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
    return f"{device}, {str(pipe.dtype).removeprefix('torch.')}, torch {torch.__version__}"
