"""Measure a model with everything that works on this machine, and collect the figures in one report."""

import math
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
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
    judges = load_judges(pipe, pairs, identity, vgg, notes)
    rounds = [None] if hints is None else [None, hints]
    measured = (batch for hints in rounds for batch in measure(pipe, pairs, count, hints))
    total = 2 * len(rounds) * len(batches_of(count, pairs.batch))
    batches = tqdm(measured, "Measuring", total, unit="batch", dynamic_ncols=True)
    columns, features = judge(batches, judges, pairs, look)
    figures = {series: means(of) | distances(features, series) for series, of in columns.items()}
    for direction in Direction:
        parts = (pairs.working(direction.source, rows) for rows in batches_of(min(count, BATCH), pairs.batch))
        figures[direction] |= speed(getattr(pipe, direction), [picture for part in parts for picture in part])
    by_group = {
        attribute: {
            value: {"count": len(rows)} | {series: means(of, torch.tensor(rows)) for series, of in columns.items()}
            for value, rows in values.items()
        }
        for attribute, values in (groups or {}).items()
    }
    return Report(
        model=model,
        data=data,
        count=count,
        working_size=pipe.image_size,
        compared=pairs.compared,
        machine=describe_machine(pipe),
        given=hints.words if hints else "",
        figures=figures,
        groups=by_group,
        notes=notes,
        pictures={series: by_picture(pairs.names, of) for series, of in columns.items()},
    )


@dataclass(frozen=True)
class Judges:
    """The networks that judge pictures, where they can be had.

    `features` are those whose features of whole sets are compared, by how the names of their figures end: "" for
    Inception, and "_vgg".
    """

    lpips: nn.Module | None
    features: dict[str, nn.Module]
    people: Identity | None


def load_judges(
    pipe: FaceSketchPipeline, pairs: PairSource, identity: bool, vgg: nn.Module | None, notes: list[str]
) -> Judges:
    """Load the networks, and add a note for what cannot be judged. See `make_report`."""
    count, people = len(pairs.names), None
    lpips = load_network("LPIPS", load_lpips, notes)
    several = {"": load_network("FID and KID", load_inception, notes), "_vgg": vgg} if count > 1 else {}
    features = {ending: network.to(pipe.device) for ending, network in several.items() if network}
    if features:
        notes.append(f"KID uses {KID_SUBSETS} random subsets of {min(KID_SUBSET_SIZE, count)} of {count} pictures.")
    if "" in features:
        notes.append("FID grows as pictures get fewer, so compare it only between equal numbers of pictures.")
    if identity:
        parts = (pairs.working("photo", rows) for rows in batches_of(count, pairs.batch))
        people = Identity(photo for part in parts for photo in part)
        if people.missed:
            notes.append(f"Identity leaves out {people.missed} of {count} pairs: no face was found in their photos.")
    return Judges(lpips.to(pipe.device) if lpips else None, features, people)


@torch.inference_mode()
def judge(
    batches: Iterable[MeasuredBatch], judges: Judges, pairs: PairSource, look: Callable[[MeasuredBatch], None] | None
) -> tuple[dict[str, Columns], dict[tuple[str, str], Tensor]]:
    """Add to what was measured what the networks say, and the series in which the input is copied.

    Returns:
        The figures of each series, and the features (N, D) of its pictures by network and series.
    """
    found: dict[str, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
    features: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    for batch in batches:
        given, made, wanted = batch.compared
        rated = [(batch.series, made, batch.figures)]
        described = {batch.series: made}
        if batch.series == batch.direction:  # what is the same in each round is judged in the first
            rated.append((batch.direction + COPIED, given, paired_figures(given, wanted, **pairs.figures)))
            described |= {batch.direction + COPIED: given, batch.direction + WANTED: wanted}
        for series, compared, figures in rated:
            figures |= perceptual_figures(compared, wanted, drawn=batch.direction.target == "sketch")
            if judges.lpips:
                figures["lpips"] = judges.lpips(compared, wanted).flatten()  # (B,)
            if judges.people:
                figures |= identity_figures(judges.people, batch, copied=series != batch.series)
            for name, values in figures.items():
                found[series][name].append(values.cpu())
        for ending, network in judges.features.items():
            for series, compared in described.items():
                features[ending, series].append(network(denormalise(compared)).cpu())  # (B, D)
        if look:
            look(batch)
    columns = {series: {name: torch.cat(values) for name, values in of.items()} for series, of in found.items()}
    return columns, {key: torch.cat(values) for key, values in features.items()}


def distances(features: dict[tuple[str, str], Tensor], series: str) -> Figures:
    """FID and KID between the pictures of a series and the true ones; of VGG16 only KID, as FID is Inception's."""
    direction = next(direction for direction in Direction if series.startswith(direction))
    found: Figures = {}
    for ending in {ending for ending, _ in features}:
        figures = distribution_figures(features[ending, series], features[ending, direction + WANTED])
        found |= {"kid" + ending: figures["kid"]} if ending else figures
    return found


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
