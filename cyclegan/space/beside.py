"""What stands beside a conversion: a surprise, what was made on this visit, and another release on the same picture."""

import random
from pathlib import Path
from typing import Any

import gradio as gr

from ..directions import Direction
from .conversion import convert_upload
from .elements import HEIGHT, SWATCHES, component, friendly, need, text
from .endpoints import READERS
from .serving import Models


def make_surprise(
    models: Models, direction: Direction, button: gr.Button, image: gr.Image, weights: gr.Dropdown, look: Any,
    examples: list[Path],
) -> None:  # fmt: skip
    """Let a button choose another example, and a style or colours; the picture is converted as any other.

    Args:
        look: the style's or the colours' component of `look_choices`.
    """

    def surprise(sent: Any, name: str) -> tuple[str, Any]:
        shown = sent.get("orig_name") if isinstance(sent, dict) else None
        with friendly():
            release = models.release(name)
        chosen: Any = random.choice(["", *release.styles])
        if direction.target == "photo":
            chosen = {part: random.choice(colours) for part, colours in SWATCHES.items()}
            generator = release.generators.get(direction)
            chosen = chosen if generator and generator.conditions else {}
        return str(random.choice([one for one in examples if one.name != shown])), chosen

    button.click(
        surprise, [image, weights], [image, look],
        preprocess=False, show_progress="hidden", api_visibility="private",
    )  # fmt: skip


def add_history(made: str, result: gr.ImageSlider, outcome: gr.HTML, buttons: list[gr.Button]) -> None:
    """Add what was made on this visit, which stays in the visitor's browser."""
    history = component("history", "words", made=made)
    again = "({ pair, outcome }) => [pair, outcome, ...Array(2).fill({ interactive: true, __type__: 'update' })]"
    history.input(None, history, [result, outcome, *buttons], js=again)


def add_versus(
    models: Models, direction: Direction, image: gr.Image, weights: gr.Dropdown, choices: list[Any]
) -> tuple[gr.Dropdown, gr.ImageSlider]:
    """Add a choice of another release, if there is any, and a slider between what the two make of the picture.

    Args:
        choices: the framing, the square, the size and so on, as `convert_upload` takes them.
    """
    other = gr.Dropdown([*models.offers], value=None, label=text("versus"), visible=len(models.offers) > 1)
    both = gr.ImageSlider(
        label=text("versus_result"), format="png", interactive=False, height=HEIGHT, visible=False, elem_classes="shown"
    )

    def compare(sent: Any, name: str, *given: Any) -> gr.ImageSlider:
        *choices, other = given
        with friendly():
            first, second = (
                convert_upload(models, direction, need(sent), one, *choices).pair[1] for one in (name, other)
            )
        return gr.ImageSlider((first, second), visible=True)

    other.input(
        compare, [image, weights, *choices, other], both,
        preprocess=False, api_visibility="private", concurrency_id="convert", concurrency_limit=READERS,
    )  # fmt: skip
    return other, both
