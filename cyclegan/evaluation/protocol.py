"""Measure a model on pairs of test pictures.

This protocol makes two figures comparable (docs/evaluation.md says why):

- Two files are a pair if their names match. Every picture is cropped to its largest centred square.
- The input is resized to the model's working size. The result and the target are resized to 128 x 128 (`SIZE`) and
  compared there. Every resize is bicubic with antialiasing; equal sizes are left alone.
- SSIM, PSNR, FSIM, HaarPSI and the correlation use the luminance (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B) in [0, 1],
  with a data range of 1. SCOOT uses it in 8 bits.
- The cycle stays in tensors at the working size and is never rounded to 8 bits on its way. The reconstruction is
  compared in colour, in [-1, 1].
- LPIPS, FID and KID use the colours at the compared size.
- A figure is the mean over the pictures. FID and KID are computed over all pictures together.
- "Given": sketches are drawn in the style of the true sketch, and photos are painted in the colours of the true photo,
  on the way of the cycle as well. "Copied": the input is returned unchanged.
- Identity uses dlib's descriptors at the landmarks of the true photo, at the working size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.sources import DataError
from ..directions import Direction
from ..networks import Generator
from ..palette import ChoiceError, read_palette
from ..pipeline import FaceSketchPipeline
from .metrics import cycle_l1, luminance_correlation, paired_figures
from .pairs import SIZE, PairSource, Squares

PROTOCOL = __doc__ or ""
GIVEN, COPIED = "_given", "_copied"  # what follows a direction in the name of a series


@dataclass(frozen=True)
class Hints:
    """What a model is given of each pair beside the input.

    Attributes:
        styles: (N, styles), the style of each true sketch, for whatever sketch is drawn; None leaves it to the model.
        own_palette: whether every photo is painted in the colours that are read from the true photo.
    """

    styles: Tensor | None = None
    own_palette: bool = False

    @property
    def words(self) -> str:
        style = "sketches are drawn in the style of the true sketch" if self.styles is not None else ""
        palette = "photos are painted in the colours of the true photo" if self.own_palette else ""
        return f"{' and '.join(filter(None, (style, palette)))}, on the way of the cycle as well"


@dataclass(frozen=True)
class MeasuredBatch:
    """One batch in one direction: pictures (B, 3, H, W) in [-1, 1] and the figures of each picture, (B,).

    `series` is the direction, and `rows` are the numbers of the pairs. `pictures` are input, result, target and
    reconstruction at the working size, to look at. `compared` are input, result and target as they were compared.
    """

    direction: Direction
    series: str
    rows: slice
    pictures: tuple[Tensor, Tensor, Tensor, Tensor]
    compared: tuple[Tensor, Tensor, Tensor]
    figures: dict[str, Tensor]


def mean_figures(
    pipe: FaceSketchPipeline, photos: Tensor, sketches: Tensor, size: int = SIZE
) -> dict[str, dict[str, float]]:
    """Return the mean figures in each direction: {"photo_to_sketch": {"ssim": ...}, "sketch_to_photo": ...}.

    Args:
        pipe: the model. During training, give it copies of the generators, since a pipeline casts its generators.
        photos, sketches: pairs as `load_pairs` returns them, (N, 3, S, S) uint8.
        size: the side in pixels at which pictures are compared.
    """
    sums: dict[str, dict[str, float]] = {direction: {} for direction in Direction}
    for batch in measure(pipe, Squares(photos, sketches, pipe.image_size, size), len(photos)):
        of_direction = sums[batch.direction]
        for name, values in batch.figures.items():
            of_direction[name] = of_direction.get(name, 0.0) + values.sum().item() / len(photos)
    return sums


@torch.inference_mode()
def measure(
    pipe: FaceSketchPipeline, pairs: PairSource, count: int, hints: Hints | None = None
) -> Iterator[MeasuredBatch]:
    """Translate all `count` photos and then all sketches, back as well, and measure every picture.

    Args:
        hints: what the model is given. None leaves everything to it.
    """
    generators: dict[str, Generator] = {"photo": pipe.photo_generator, "sketch": pipe.sketch_generator}
    for direction in Direction:
        source, target = direction.source, direction.target
        for start in range(0, count, pairs.batch):
            rows = slice(start, min(start + pairs.batch, count))
            given, wanted = (pairs.working(domain, rows).to(pipe.device) for domain in (source, target))
            conditions = _conditions(hints, rows, given if source == "photo" else wanted)
            made = pipe.translate(generators[target], given, conditions[target]).float()
            cycled = pipe.translate(generators[source], made, conditions[source]).float()
            compared = (
                pairs.original(source, target, rows).to(pipe.device),
                pairs.result(made, target, target, rows).to(pipe.device),
                pairs.original(target, target, rows).to(pipe.device),
            )
            figures = paired_figures(compared[1], compared[2], **pairs.figures)
            figures["cycle_l1"] = cycle_l1(compared[0], pairs.result(cycled, source, target, rows).to(pipe.device))
            figures["luminance_correlation"] = luminance_correlation(compared[0], compared[1])
            series = direction + (GIVEN if hints else "")
            yield MeasuredBatch(direction, series, rows, (given, made, wanted, cycled), compared, figures)


def _conditions(hints: Hints | None, rows: slice, photo: Tensor) -> dict[str, Tensor | None]:
    """What is given to the generator of each domain: (B, conditions)."""
    if hints is None:
        return {"photo": None, "sketch": None}
    return {
        "photo": read_palette(photo).flatten(1) if hints.own_palette else None,
        "sketch": None if hints.styles is None else hints.styles[rows],
    }


def make_hints(pipe: FaceSketchPipeline, styles: list[str] | None, own_palette: bool) -> Hints | None:
    """Check what is given against what the release can be given.

    Args:
        styles: the style of each true sketch, or None to leave it to the model.

    Raises:
        ChoiceError: the release has no such style, or no palette. DataError: the styles are not known.
    """
    if styles is None and not own_palette:
        return None
    if own_palette and not pipe.photo_generator.conditions:
        raise ChoiceError("--own-palette needs a release with a palette; this one always chooses the colours itself.")
    if styles is None:
        return Hints(None, own_palette)
    if not styles:
        raise DataError(
            "--true-style needs the style of each sketch. Pass --style-pattern to say where in the name it stands."
        )
    chosen = [pipe.style_condition(style) for style in styles]
    return Hints(torch.cat([one for one in chosen if one is not None]), own_palette)
