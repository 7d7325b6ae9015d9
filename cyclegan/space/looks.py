"""Thumbnails of one face in each style of a release."""

import io
from functools import lru_cache
from pathlib import Path

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..directions import Direction
from ..palette import ChoiceError
from ..release import WeightsError
from .serving import Models

SIZE = 96  # pixels


class Looks:
    """Draws a photo in the style that is asked for, each once.

    Args:
        photo: a file of this project.
    """

    def __init__(self, models: Models, photo: Path) -> None:
        self.models, self.photo = models, photo
        self.draw = lru_cache(maxsize=64)(self._draw)

    def _draw(self, name: str, style: str) -> bytes:
        made = io.BytesIO()
        with Image.open(self.photo) as photo:
            sketch = self.models.convert(Direction.PHOTO_TO_SKETCH, name, photo, style=style or None)
        sketch.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(made, "WEBP", quality=90)
        return made.getvalue()

    async def answer(self, request: Request) -> Response:
        """Answer `weights` and `style` of the address with a WebP, or with a sentence."""
        asked = request.query_params
        try:
            look = await run_in_threadpool(
                self.draw, asked.get("weights") or self.models.first, asked.get("style") or ""
            )
        except (ChoiceError, WeightsError) as error:
            return PlainTextResponse(str(error), 404)
        return Response(look, media_type="image/webp", headers={"Cache-Control": "max-age=3600"})
