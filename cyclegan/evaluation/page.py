"""Show a report: as a table for the terminal, and as an HTML page with all pictures."""

import base64
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.sources import DataError
from ..directions import Direction
from ..extras import extra
from ..images import to_image
from ..pipeline import BATCH
from .protocol import COPIED, GIVEN, MeasuredBatch
from .report import Report


@dataclass(frozen=True)
class Metric:
    """The label of a figure, which direction is better, and how it is printed."""

    label: str
    better: str = "higher"
    form: str = ".3f"


PEOPLE = {
    "identity_distance": Metric("identity distance", "lower"),
    "same_person": Metric("same person", form=".0%"),
    "rank_1": Metric("rank-1", form=".0%"),
    "face_found": Metric("face found", form=".0%"),
}
METRICS = {
    "ssim": Metric("SSIM"),
    "psnr": Metric("PSNR, dB", form=".2f"),
    "fsim": Metric("FSIM"),
    "haarpsi": Metric("HaarPSI"),
    "scoot": Metric("SCOOT"),
    "lpips": Metric("LPIPS (AlexNet)", "lower"),
    "fid": Metric("FID", "lower", ".1f"),
    "kid": Metric("KID x 1000", "lower", ".1f"),
    "kid_vgg": Metric("KID x 1000 (VGG16)", "lower", ".1f"),
    "cycle_l1": Metric("cycle L1", "lower"),
    "luminance_correlation": Metric("luminance correlation"),
    **PEOPLE,
    **{f"cycle_{name}": Metric(f"there and back: {metric.label}", metric.better, metric.form)
       for name, metric in PEOPLE.items()},
    "one_ms": Metric("ms a picture, one at a time", "lower", ".0f"),
    "batch_ms": Metric(f"ms a picture, {BATCH} at a time", "lower", ".0f"),
}  # fmt: skip
MAIN = ("ssim", "fsim", "haarpsi", "scoot", "cycle_l1", "same_person")  # of groups
ENDS = 10  # so many of the worst and of the best come first on the page


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which is the header. The first `words` columns hold words, the others numbers."""

    title: str
    rows: list[list[str]]
    words: int = 1


def tables(report: Report) -> list[Table]:
    """The figures of all pairs, and those of each group by series."""
    series = {
        direction + ending: words or direction.words
        for direction in Direction
        for ending, words in (("", ""), (GIVEN, "given"), (COPIED, "copied"))
        if direction + ending in report.figures
    }
    rows = [["", "better", *series.values()]]
    for name, metric in METRICS.items():
        if any(name in report.figures[one] for one in series):
            rows.append([metric.label, metric.better, *(_cell(name, report.figures[one]) for one in series)])
    made = [one for one in series if not one.endswith(COPIED)]
    return [Table("", rows, 2), *(_by_group(report, one) for one in made if report.groups)]


def _by_group(report: Report, series: str) -> Table:
    direction = next(direction for direction in Direction if series.startswith(direction))
    names = [name for name in MAIN if name in report.figures[series]]
    copied = [name for name in ("ssim", "fsim") if name in names]
    rows = [
        ["", "pairs", *(METRICS[name].label for name in names), *(f"{METRICS[name].label} copied" for name in copied)]
    ]
    groups = {f"{a} {v}": figures for a, values in report.groups.items() for v, figures in values.items()}
    for group, figures in groups.items():
        cells = (
            _cell(name, figures[key]) for key, of in ((series, names), (direction + COPIED, copied)) for name in of
        )
        rows.append([group, str(figures["count"]), *cells])
    return Table(f"{direction.words.capitalize()}{', given' if series.endswith(GIVEN) else ''}, by group", rows)


def _cell(name: str, figures: dict[str, Any]) -> str:
    return f"{figures[name]:{METRICS[name].form}}" if figures.get(name) is not None else ""


def headline(report: Report) -> str:
    return (
        f"{report.count} pairs of {report.data}, {report.compared}; "
        f"{report.model} working at {report.working_size} x {report.working_size}."
    )


def notes(report: Report) -> list[str]:
    """What a reader must know beside the figures."""
    lines = ["Copied: the score of returning the input unchanged. A figure means something only if it is better."]
    if report.given:
        lines.append(f"Given: {report.given}.")
    if "same_person" in report.figures[Direction.SKETCH_TO_PHOTO + COPIED]:
        lines.append(
            "Identity is compared with the true photo. Copied, sketch to photo, is the artist's sketch itself."
        )
    return [*lines, f"Measured on {report.machine}.", *report.notes]


def as_text(report: Report) -> str:
    """Format the tables and the notes for a terminal."""
    lines = [headline(report)]
    for table in tables(report):
        widths = [max(map(len, column)) for column in zip(*table.rows, strict=True)]
        lines += ["", *([table.title] if table.title else [])]
        for row in table.rows:
            cells = zip(row, widths, strict=True)
            aligned = (f"{cell:{'<' if i < table.words else '>'}{width}}" for i, (cell, width) in enumerate(cells))
            lines.append("  ".join(aligned).rstrip())
    return "\n".join([*lines, "", *notes(report)])


class Page:
    """The self-contained HTML report. `add` collects the pictures, and `html` builds the page."""

    def __init__(self) -> None:
        with extra("evaluate", "--html", DataError):
            import jinja2
        folder = jinja2.FileSystemLoader(Path(__file__).parent)
        self._template = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True).get_template(
            "report.html"
        )
        self._pictures: dict[str, list[list[str]]] = defaultdict(list)

    def add(self, batch: MeasuredBatch) -> None:
        columns = [[_data_uri(picture) for picture in pictures] for pictures in batch.pictures]
        self._pictures[batch.series] += [list(row) for row in zip(*columns, strict=True)]

    def html(self, report: Report) -> str:
        sections = {
            series: {
                "title": series.replace(GIVEN, ", given").replace("_", " ").capitalize(),
                "parts": _worst_first(report.pictures[series], pictures),
            }
            for series, pictures in self._pictures.items()
        }
        return self._template.render(
            headline=headline(report), tables=tables(report), notes=notes(report), sections=sections
        )


def _worst_first(figures: list[dict[str, Any]], pictures: list[list[str]]) -> dict[str, list[dict[str, Any]]]:
    """The pairs under the title of their part of the page: the worst, the best, all others."""
    of_pictures = [(name, metric) for name, metric in METRICS.items() if "%" not in metric.form]  # of one: all or none
    shown = [
        {
            "name": one["name"],
            "values": [f"{metric.label} {_cell(name, one)}" for name, metric in of_pictures if _cell(name, one)],
            "pictures": dict(zip(("input", "result", "target", "reconstruction"), uris, strict=True)),
        }
        for one, uris in sorted(zip(figures, pictures, strict=True), key=lambda pair: pair[0]["fsim"])
    ]
    worst, best, rest = shown[:ENDS], shown[ENDS:][-ENDS:][::-1], shown[ENDS:-ENDS]
    parts = {
        f"The worst {len(worst)} by FSIM": worst,
        f"The best {len(best)}": best,
        "All others, worst first": rest,
    }
    return {title: pairs for title, pairs in parts.items() if pairs}


def _data_uri(picture: Tensor) -> str:
    file = io.BytesIO()
    to_image(picture).save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
