"""Conversions on the visitor's own device: the page is asked first, and the server where the page does not convert."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ..directions import Direction
from .conversion import possible_sizes
from .elements import component
from .serving import Models


def offer_device(models: Models, direction: Direction) -> gr.HTML:
    """Build the choice, which shows when the app has made its page for the device."""
    sizes = possible_sizes(models, models.first, 0)
    return component(
        "here", "words", "engine", direction=direction, first=models.first, sizes=sizes, usual=models.image_size
    )


def device_first(direction: Direction, name: str, outputs: list[Any], settings: dict[str, Any]) -> Callable[..., None]:
    """Return what binds an event to both: `bind(button.click)`.

    Args:
        name: the function of web/here.js, which takes the inputs of the settings. outputs: what it gives, in order.
        settings: of the event that asks the server.
    """
    here = f"window.here.{direction}"
    page: dict[str, Any] = {"fn": None, "inputs": settings["inputs"], "outputs": outputs, "show_progress": "hidden"}

    def bind(listen: Callable[..., Any], **more: Any) -> None:
        asked = listen(**page, js=f"(...given) => {here}.{name}(...given)").failure(**settings | more)
        asked.then(None, js=f"() => {here}.answered()")

    return bind
