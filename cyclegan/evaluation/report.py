"""The report of `python -m cyclegan evaluate`: the figures as a table, and a page with all pictures."""

import base64
import io
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..directions import Direction
from ..images import denormalise, normalise, to_image
from ..pipeline import BATCH, FaceSketchPipeline
from .metrics import (
    KID_SUBSET_SIZE,
    KID_SUBSETS,
    SIZE,
    Comparison,
    Pairs,
    compare,
    distribution_figures,
    load_inception,
    load_lpips,
    load_network,
    paired_figures,
    resize,
)


@dataclass(frozen=True)
class Metric:
    """The label of a figure, which direction is better, and how many digits are meaningful."""

    label: str
    better: str = "higher"
    digits: int = 3


METRICS = {
    "ssim": Metric("SSIM"),
    "psnr": Metric("PSNR, dB", digits=2),
    "fsim": Metric("FSIM"),
    "lpips": Metric("LPIPS (AlexNet)", "lower"),
    "fid": Metric("FID", "lower", 1),
    "kid": Metric("KID x 1000", "lower", 1),
    "cycle_l1": Metric("cycle L1", "lower"),
    "luminance_correlation": Metric("luminance correlation"),
    "one_ms": Metric("ms a picture, one at a time", "lower", 0),
    "batch_ms": Metric(f"ms a picture, {BATCH} at a time", "lower", 0),
}
ENDS = 10  # so many of the worst and of the best come first on the page
COPIED = "Input copied: the score of returning the input unchanged, in either direction."
Figures = dict[str, dict[str, float]]  # direction -> metric -> value


@dataclass(frozen=True)
class Report:
    """Everything that was measured on one set of pairs.

    `copied` has the figures of returning the input unchanged, which are the same in both directions. `pictures` has
    the name and the figures of each picture, for each direction. `notes` are sentences about omissions and pitfalls.
    """

    model: str
    data: str
    count: int
    working_size: int
    compared_size: int
    machine: str
    figures: Figures
    copied: dict[str, float]
    notes: list[str]
    pictures: dict[str, list[dict[str, Any]]]


def make_report(
    pipe: FaceSketchPipeline,
    pairs: Pairs,
    model: str,
    data: str,
    size: int = SIZE,
    look: Callable[[Comparison], None] | None = None,
) -> Report:
    """Measure a model with every metric that works on this machine, with a progress bar.

    Args:
        model, data: their names in the report.
        size: the side in pixels at which pictures are compared.
        look: called with every batch of pictures.
    """
    count, notes = len(pairs.names), [f"Left out: {reason}" for reason in pairs.skipped]
    lpips = load_network("LPIPS", load_lpips, notes)
    inception = load_network("FID and KID", load_inception, notes) if count > 1 else None
    for network in (lpips, inception):
        if network:
            network.to(pipe.device)

    found: dict[str, dict[str, list[Tensor]]] = {key: defaultdict(list) for key in (*Direction, "copied")}
    features: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    batches = compare(pipe, pairs.photos, pairs.sketches, size)
    for batch in tqdm(batches, "Measuring", 2 * -(-count // BATCH), unit="batch", dynamic_ncols=True):
        given, made, wanted = batch.compared
        parts: list[tuple[str, Tensor, dict[str, Tensor]]] = [(batch.direction, made, batch.figures)]
        if batch.direction == Direction.PHOTO_TO_SKETCH:
            parts.append(("copied", given, paired_figures(given, wanted)))
        with torch.inference_mode():
            for key, picture, values in parts:
                if lpips:
                    values["lpips"] = lpips(picture, wanted).flatten()  # (B,)
                for name, value in values.items():
                    found[key][name].append(value.cpu())
            if inception:
                for kind, picture in (("given", given), ("made", made)):
                    features[batch.direction, kind].append(inception(denormalise(picture)).cpu())  # (B, 2048)
        if look:
            look(batch)

    columns = {key: {name: torch.cat(values) for name, values in of.items()} for key, of in found.items()}
    figures = {key: {name: column.mean().item() for name, column in of.items()} for key, of in columns.items()}
    if inception:
        photos, sketches = (torch.cat(features[direction, "given"]) for direction in Direction)
        made_sketches, made_photos = (torch.cat(features[direction, "made"]) for direction in Direction)
        for key, made, wanted in (
            (str(Direction.PHOTO_TO_SKETCH), made_sketches, sketches),
            (str(Direction.SKETCH_TO_PHOTO), made_photos, photos),
            ("copied", photos, sketches),
        ):
            figures[key] |= distribution_figures(made, wanted)
        notes.append(
            f"FID and KID use {count} pictures, and KID {KID_SUBSETS} random subsets of "
            f"{min(KID_SUBSET_SIZE, count)}. FID grows as pictures get fewer, so compare it only between equal "
            "numbers of pictures."
        )
    for direction, pixels in zip(Direction, (pairs.photos, pairs.sketches), strict=True):
        figures[direction] |= speed(getattr(pipe, direction), pixels[:BATCH], pipe.image_size)
    return Report(
        model=model,
        data=data,
        count=count,
        working_size=pipe.image_size,
        compared_size=size,
        machine=describe_machine(pipe),
        copied=figures.pop("copied"),
        figures=figures,
        notes=notes,
        pictures={direction: by_picture(pairs.names, columns[direction]) for direction in Direction},
    )


def by_picture(names: list[str], columns: dict[str, Tensor]) -> list[dict[str, Any]]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [{"name": name} | dict(zip(columns, row, strict=True)) for name, row in zip(names, rows, strict=True)]


def speed(
    convert: Callable[[list[Image.Image]], list[Image.Image]], pixels: Tensor, working_size: int
) -> dict[str, float]:
    """Return milliseconds per picture, PIL to PIL at the working size: medians of ten single ones and three batches."""

    def milliseconds(images: list[Image.Image], repeats: int) -> float:
        times = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            convert(images)
            times.append(time.perf_counter() - start)
        return 1000 * statistics.median(times[1:]) / len(images)  # the first warms up

    images = [to_image(picture) for picture in resize(normalise(pixels), working_size)]
    return {"one_ms": milliseconds(images[:1], 10), "batch_ms": milliseconds((images * BATCH)[:BATCH], 3)}


def describe_machine(pipe: FaceSketchPipeline) -> str:
    """Describe the machine that the speed was measured on."""
    if pipe.device.type == "cuda":
        device = torch.cuda.get_device_name(pipe.device)
    else:
        device = f"{pipe.device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
    return f"{device}, {str(pipe.dtype).removeprefix('torch.')}, torch {torch.__version__}"


def table(report: Report) -> list[tuple[str, ...]]:
    """Return the figures as rows of cells: a header, then one row per measured figure."""
    parts = [*(report.figures[direction] for direction in Direction), report.copied]
    rows = [("", "better", *(direction.words for direction in Direction), "input copied")]
    for name, metric in METRICS.items():
        if name in parts[0]:
            cells = (f"{part[name]:.{metric.digits}f}" if name in part else "" for part in parts)
            rows.append((metric.label, metric.better, *cells))
    return rows


def as_text(report: Report) -> str:
    """Format the table and the notes for a terminal."""
    rows = table(report)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [headline(report), ""]
    for row in rows:
        left = f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}"
        lines.append("  ".join([left, *(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))]))
    return "\n".join([*lines, "", COPIED, f"Measured on {report.machine}.", *report.notes])


def headline(report: Report) -> str:
    return (
        f"{report.count} pairs of {report.data}, compared at {report.compared_size} x {report.compared_size}; "
        f"{report.model} working at {report.working_size} x {report.working_size}."
    )


class Page:
    """The self-contained HTML report. `add` collects the pictures, and `html` builds the page."""

    def __init__(self) -> None:
        self._pictures: dict[str, list[list[str]]] = {direction: [] for direction in Direction}

    def add(self, comparison: Comparison) -> None:
        columns = [[_data_uri(picture) for picture in pictures] for pictures in comparison.pictures]
        self._pictures[comparison.direction] += [list(row) for row in zip(*columns, strict=True)]

    def html(self, report: Report) -> str:
        (_, _, *head), *rows = table(report)
        return Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8")).substitute(
            headline=escape(headline(report)),
            head="".join(f"<th>{escape(cell)}</th>" for cell in head),
            rows="\n".join(
                f"<tr><th>{escape(label)} <small>{better} is better</small></th>"
                f"{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
                for label, better, *cells in rows
            ),
            notes="\n".join(
                f"<p>{escape(note)}</p>" for note in (COPIED, f"Measured on {report.machine}.", *report.notes)
            ),
            links="\n".join(f'<a href="#{direction}">{direction.words}</a>' for direction in Direction),
            directions="\n".join(self._direction(direction, report) for direction in Direction),
        )

    def _direction(self, direction: Direction, report: Report) -> str:
        pairs = sorted(
            zip(report.pictures[direction], self._pictures[direction], strict=True), key=lambda pair: pair[0]["fsim"]
        )
        worst, best, rest = pairs[:ENDS], pairs[ENDS:][-ENDS:][::-1], pairs[ENDS:-ENDS]
        parts = [f'<h2 id="{direction}">{direction.words.capitalize()}</h2>']
        titles = f"The worst {len(worst)} by FSIM", f"The best {len(best)}", "All others, worst first"
        for title, group in zip(titles, (worst, best, rest), strict=True):
            if group:
                parts += [f"<h3>{title}</h3>", *(_pair(figures, uris) for figures, uris in group)]
        return "\n".join(parts)


def _pair(figures: dict[str, Any], uris: list[str]) -> str:
    values = (
        f"{metric.label} {figures[name]:.{metric.digits}f}" for name, metric in METRICS.items() if name in figures
    )
    name = escape(figures["name"])
    shown = "".join(
        f'<figure><img loading="lazy" decoding="async" src="{uri}" alt="{name}: {label}">'
        f"<figcaption>{label}</figcaption></figure>"
        for label, uri in zip(("input", "result", "target", "reconstruction"), uris, strict=True)
    )
    return f'<article><p><b>{name}</b> {" · ".join(values)}</p><div class="row">{shown}</div></article>'


def _data_uri(picture: Tensor) -> str:
    file = io.BytesIO()
    to_image(picture).save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
