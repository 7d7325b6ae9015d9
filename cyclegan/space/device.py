"""The page that converts on the visitor's own device, beside the app's own pages."""

import warnings
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ..engines.web import export_web
from ..pipeline import FaceSketchPipeline


class DevicePage(StaticFiles):
    """The exported page, with the headers that threads need."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
        return response


def make_device_page(weights: str, folder: Path) -> None:
    """Export the page for a release; without it the server converts everything."""
    try:
        export_web(FaceSketchPipeline.from_pretrained(weights, device="cpu"), folder)
    except Exception as error:  # no network, no package: whatever it is, the app goes on
        warnings.warn(f"Visitors cannot convert on their own devices: {error}", stacklevel=1)
