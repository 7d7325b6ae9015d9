"""The end of an epoch."""

from pathlib import Path
from typing import Any

from PIL import Image

from ..files import atomic, point
from ..hub.card import draw_curves
from ..pipeline import FaceSketchPipeline
from ..release import WeightsError, read


def write_release(pipeline: FaceSketchPipeline, folder: Path, samples: Image.Image, losses: Path, **card: Any) -> None:
    """Write a release folder completely or not at all, and point `latest` to it.

    Args:
        samples: the picture grid.
        losses: losses.csv, whose curves are drawn.
        card: the facts of the model card, see `make_card`.
    """
    with atomic(folder) as partial:
        pipeline.save_pretrained(partial, model_card_kwargs=card | {"samples": True, "curves": losses.exists()})
        samples.save(partial / "samples.png")
        if losses.exists():
            draw_curves(losses).save(partial / "curves.png")
    point("latest", folder)


def is_whole(folder: Path) -> bool:
    """Whether a folder holds a release that can be loaded."""
    try:
        read(folder, None, str(folder))
    except WeightsError:
        return False
    return True
