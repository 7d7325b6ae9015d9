"""The endpoints for gradio_client, plain HTTP and MCP: a picture and what is chosen of it in, a picture out."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ..directions import Direction
from ..palette import PARTS
from .conversion import answer
from .elements import friendly, need
from .files import FRAMINGS, NO_PICTURE, NOT_UPLOADED, read_upload, was_uploaded
from .serving import Models

READERS = 8  # pictures that are opened at once, so that a slow one keeps few waiting; one thread converts them


def endpoint(models: Models, direction: Direction) -> None:
    """Add the endpoint /photo_to_sketch or /sketch_to_photo for gradio_client, plain HTTP and MCP."""
    given, made = direction.source, direction.target

    def draw(image: dict[str, Any] | None, framing: str = "face", size: int | None = None, style: str = "") -> str:
        with friendly():
            return answer(models, direction, need(image), framing, size, style=style)

    def paint(
        image: dict[str, Any] | None, framing: str = "face", size: int | None = None, skin: str = "", hair: str = "",
        background: str = "", like: dict[str, Any] | None = None,
    ) -> str:  # fmt: skip
        with friendly():
            photo, colours = like and read_upload(like)[0], {"skin": skin, "hair": hair, "background": background}
            return answer(models, direction, need(image), framing, size, **colours, like=photo)

    convert: Callable[..., str] = draw
    choices, about = [gr.Textbox("", label="style", visible=False)], "style: one of the release's, such as bold."
    if made == "photo":
        convert = paint
        choices = [gr.Textbox("", label=part, visible=False) for part in PARTS]
        choices.append(gr.Image(label="like", visible=False))  # type: ignore[arg-type]
        about = "skin, hair, background: colours such as #e0ac69 or black. like: a photo to take the others from."
    convert.__name__ = direction  # what an MCP client sees
    gr.on(
        [], convert,
        [
            gr.Image(label=given, visible=False),
            gr.Radio(list(FRAMINGS), value="face", label="framing", visible=False),
            gr.Number(models.image_size, label="size", precision=0, visible=False),
            *choices,
        ],
        gr.Image(label=made, format="png", visible=False),
        preprocess=False, api_name=direction, concurrency_id="convert", concurrency_limit=READERS,
        api_description=f"Make a {made} of the face in a {given}. framing: the largest face, the middle, which is also "
        "taken where there is no face, or the whole picture, whose shape is kept. size: the result's shorter side. "
        f"{about} The model chooses what is left empty.",
    )  # fmt: skip


class Blocks(gr.Blocks):
    """Gradio's, in which plain HTTP may leave out what has a default, as gradio_client and MCP may.

    What is of a wrong kind is refused in a sentence; Gradio (6.31) answers plain HTTP with an error that says nothing.
    """

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        inputs += [block.value for block in block_fn.inputs[len(inputs) :]]
        for block, given in zip(block_fn.inputs, inputs, strict=False):
            for file in given if isinstance(given, list) else [given]:
                path = file.get("path") if isinstance(file, dict) else None
                if isinstance(path, str) and path and not was_uploaded(path):
                    raise gr.Error(NOT_UPLOADED, print_exception=False)
            model = getattr(block, "data_model", None)
            if model and given is not None:
                try:
                    model.model_validate(given, context={"validate_meta": True})
                except ValueError:
                    raise gr.Error(NO_PICTURE, print_exception=False) from None
