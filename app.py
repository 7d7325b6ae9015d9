"""The Gradio Space: photo to sketch and sketch to photo."""

import base64
import os
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from cyclegan import FaceSketchPipeline
from cyclegan.images import ImageError, open_image
from cyclegan.pipeline import EMBEDDED

EXAMPLES = Path(__file__).parent / "examples"
ABOUT = """
The pictures are made by a neural network (CycleGAN) on this machine. It knows faces that look at the camera and fill
the picture. A photo made from a sketch is an invention: it shows nobody, and must not be used to identify anyone.
"""
CSS = ".image-frame img { width: 100%; height: 100%; object-fit: contain; }"  # small pictures fill their frame too


def read_upload(payload: ImageData | None) -> Image.Image | None:
    """What a visitor or an API client sends -> a picture, by the project's own rules and with its own errors."""
    if payload is None:
        return None
    try:
        if payload.path is not None:
            return open_image(payload.path, payload.orig_name or "")
        return open_image(base64.b64decode((payload.url or "").partition(",")[2]))  # an API client's data: URL
    except ImageError as error:
        raise gr.Error(str(error), print_exception=False) from None


def load() -> FaceSketchPipeline:
    """The release that CYCLEGAN_WEIGHTS names, a folder or USER/REPO[@REVISION]; without it the embedded weights."""
    return FaceSketchPipeline.from_pretrained(os.environ.get("CYCLEGAN_WEIGHTS") or EMBEDDED, fallback=True)


def build(pipe: FaceSketchPipeline) -> gr.Blocks:
    with gr.Blocks(title="Face photo ↔ sketch", delete_cache=(600, 3600)) as demo:
        gr.Markdown("# Face photo ↔ sketch\nA pencil sketch of a photo, a photo of a drawing.")
        for title, api_name, given, made, examples, run in (
            ("Photo to sketch", "photo_to_sketch", "Photo", "Sketch", "photos", pipe.photo_to_sketch),
            ("Sketch to photo", "sketch_to_photo", "Sketch", "Photo", "sketches", pipe.sketch_to_photo),
        ):
            with gr.Tab(title):
                with gr.Row():
                    image = gr.Image(label=given, sources=["upload", "webcam", "clipboard"], height=400)
                    image.preprocess = read_upload  # type: ignore[method-assign]
                    result = gr.Image(
                        label=made, format="png", interactive=False, height=400, buttons=["download", "fullscreen"]
                    )
                gr.Examples(sorted(str(file) for file in (EXAMPLES / examples).glob("*.png")), image)

                def convert(picture: Image.Image | None, run: Any = run) -> Image.Image | None:
                    return None if picture is None else run(picture)

                image.change(convert, image, result, api_name=api_name, concurrency_limit=1, concurrency_id="model")
        commit = f", commit {pipe.revision[:7]}" if pipe.revision else ""
        gr.Markdown(f"{ABOUT}\nWeights: {pipe.source}{commit}.")
    return demo


if __name__ == "__main__":
    build(load()).launch(css=CSS)
