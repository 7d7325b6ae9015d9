"""The end of an epoch: samples, figures and a release."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torchvision.utils import make_grid

from ..data.layouts import NO_FIGURES, DataSet
from ..data.sources import DataError
from ..directions import Direction
from ..evaluation.pairs import SIZE, Pairs, load_pairs
from ..evaluation.protocol import mean_figures
from ..files import atomic, point
from ..hub.card import draw_curves
from ..images import ImageError, crop_square, normalise, to_image, to_tensor
from ..networks import Generator
from ..pipeline import FaceSketchPipeline
from ..release import WeightsError, read

SAMPLES = 6  # pictures of each domain in the sample grid


@dataclass(frozen=True)
class Releases:
    """What all releases of a run have in common.

    Attributes:
        samples: the photos and sketches of the sample grid.
        validation: the pairs that each release is scored on, if there are any.
        card: the facts of the model card that stay the same, see `make_card`.
    """

    output: Path
    image_size: int
    styles: list[str]
    samples: tuple[Tensor, Tensor]
    validation: Pairs | None
    card: dict[str, Any]

    def write(
        self, folder: Path, averages: Mapping[str, AveragedModel], progress: dict[str, float]
    ) -> dict[str, float]:
        """Write the averaged generators as a release, and return their figures on the validation pairs, if any.

        The folder is written completely or not at all, and `latest` points to it.
        """
        sketch_generator, photo_generator = (copy_of(averages[domain]) for domain in ("sketch", "photo"))
        grid = sample_grid(sketch_generator, photo_generator, *self.samples)
        pair, figures = (sketch_generator, photo_generator, self.image_size), {}
        if self.validation:
            device = next(sketch_generator.parameters()).device
            pipe = FaceSketchPipeline(*pair, str(device), torch.float32, styles=self.styles)
            scores = mean_figures(pipe, self.validation.photos, self.validation.sketches)
            figures = {f"{direction}_{name}": value for direction, of in scores.items() for name, value in of.items()}
        pipe = FaceSketchPipeline(*pair, "cpu", torch.float16, styles=self.styles)
        losses = self.output / "losses.csv"
        card = self.card | {"progress": progress, "figures": figures, "samples": True, "curves": losses.exists()}
        with atomic(folder) as partial:
            pipe.save_pretrained(partial, model_card_kwargs=card)
            grid.save(partial / "samples.png")
            if losses.exists():
                draw_curves(losses).save(partial / "curves.png")
        point("latest", folder)
        return figures


def copy_of(average: AveragedModel) -> Generator:
    """Return a copy of an averaged generator, which a pipeline may cast and move without touching the average."""
    generator = deepcopy(average.module)
    assert isinstance(generator, Generator)
    return generator


def is_whole(folder: Path) -> bool:
    """Whether a folder holds a release that can be loaded."""
    try:
        read(folder, None, str(folder))
    except WeightsError:
        return False
    return True


def summary(figures: dict[str, float]) -> str:
    """Return the figures in one line, or an empty string."""
    return "; ".join(
        " ".join([direction.words, *(f"{name} {figures[f'{direction}_{name}']:.3f}" for name in ("fsim", "ssim"))])
        for direction in Direction
        if figures
    )


def hub_dataset(data: str) -> str | None:
    """Return the data set on the Hub that `--data` names, for the model card, and never a local folder."""
    name = data.removeprefix("hf:").partition(":")[0]
    return name if data.startswith("hf:") and not Path(name).exists() else None


def sample_pictures(data: DataSet, size: int) -> tuple[Tensor, Tensor]:
    """Return the photos and sketches of the sample grids, from test/ if it exists: two (N, 3, H, W) in [-1, 1].

    Raises:
        DataError: none can be read.
    """

    def load(domain: str) -> Tensor:
        try:
            source = data.find(domain, "test")
        except DataError:
            source = data.find(domain)
        count, found = len(source.names), []
        shown = min(SAMPLES, count)
        for number in range(shown):  # the first readable picture of each sixth
            for index in range(number * count // shown, (number + 1) * count // shown):
                with suppress(ImageError):
                    found.append(to_tensor(crop_square(source.read(index), size)))
                    break
        if not found:
            raise DataError(f"None of the {count} pictures in {source.title} can be read: see check-data.")
        return normalise(torch.stack(found))

    return load("photos"), load("sketches")


def validation_pairs(data: DataSet, most: int, size: int) -> Pairs | None:
    """The first pairs of test/ that each epoch is scored on; None, and a word why, where there are none."""
    if not most:
        return None
    try:
        return load_pairs(data.test_pairs()[:most], max(size, SIZE))
    except DataError as error:
        print(NO_FIGURES, error, file=sys.stderr)
        return None


@torch.inference_mode()
def sample_grid(sketch_generator: Generator, photo_generator: Generator, photo: Tensor, sketch: Tensor) -> Image.Image:
    """Return six rows: photos, their sketches, reconstructions; then sketches, their photos, reconstructions."""
    device = next(sketch_generator.parameters()).device
    rows = []
    for pictures, there, back in (
        (photo, sketch_generator, photo_generator),
        (sketch, photo_generator, sketch_generator),
    ):
        converted = there(pictures.to(device))
        rows += [pictures, converted.cpu(), back(converted).cpu()]
    width = max(len(photo), len(sketch))
    blank = torch.ones_like(photo[:1])
    rows = [torch.cat([row, blank.expand(width - len(row), -1, -1, -1)]) for row in rows]
    return to_image(make_grid(torch.cat(rows), nrow=width, pad_value=1.0))
