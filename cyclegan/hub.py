"""What reaches the Hub: the release folder."""

from pathlib import Path
from typing import Any

from PIL import Image

from .checkpoint import atomic, point
from .pipeline import FaceSketchPipeline


def write_release(
    pipeline: FaceSketchPipeline, folder: Path, samples: Image.Image, recipe: dict[str, str], progress: dict[str, Any]
) -> None:
    """Write a release folder, whole or not at all, and point `latest` beside it to it.

    Args:
        samples: the picture grid. recipe: the flags it was trained with. progress: figures of the epoch.
    """
    with atomic(folder) as partial:
        pipeline.save_pretrained(partial, model_card_kwargs={"recipe": recipe, "progress": progress, "samples": True})
        samples.save(partial / "samples.png")
    point("latest", folder)
