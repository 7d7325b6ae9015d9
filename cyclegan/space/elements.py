"""What the pages are built of: texts, theme, components, and errors in the project's own words."""

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from ..directions import Direction
from ..faces import SIZES
from ..images import ImageError
from ..palette import ChoiceError
from ..release import WeightsError
from .files import FRAMINGS
from .serving import Models

WEB = Path(__file__).parents[2] / "web"
TEXTS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (WEB / "texts").glob("*.json")}
text: Any = gr.I18n(**TEXTS)  # a language is a file; what goes wrong is told in English
# Colours to choose from, those of people and usual grounds
SWATCHES = {
    "skin": ["#f3d6c4", "#e0ac69", "#c68642", "#8d5524", "#5b3a24"],
    "hair": ["#1b1512", "#4a2f20", "#8a5a32", "#d9b36c", "#a33b20", "#b8b8b8"],
    "background": ["#ffffff", "#b9c4cc", "#3a5f8a", "#4d6b50", "#2b2b2b"],
}
# The first of the browser's languages that there are texts of, also for what Gradio says, and the texts for the page's
# own JavaScript, English where one is missing
HEAD = f"""<script>{{
  window.swatches = {json.dumps(SWATCHES)};
  const texts = {json.dumps(TEXTS, ensure_ascii=False)};
  const language = navigator.languages.map((name) => name.split("-")[0]).find((name) => name in texts) ?? "en";
  Object.defineProperty(navigator, "language", {{ value: language }});
  window.words = {{ ...texts.en, ...texts[language] }};
}}</script>"""
# Text and its ground differ by 4.5 to 1 at least (WCAG 2.2, 1.4.3)
THEME = gr.themes.Soft(primary_hue="indigo", neutral_hue="stone", font="sans-serif", font_mono="monospace").set(
    color_accent="*primary_600", block_label_text_color="*primary_700", block_title_text_color="*primary_700",
    button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_700",
    checkbox_border_color="*neutral_500", checkbox_border_color_dark="*neutral_400",
    checkbox_label_background_fill_selected="*primary_600",
    checkbox_background_color_selected="*primary_600", body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    link_text_color_dark="*primary_300", link_text_color_hover_dark="*primary_200",
    link_text_color_visited_dark="*primary_300",
)  # fmt: skip
LOOK: dict[str, Any] = {
    "theme": THEME, "css_paths": WEB / "style.css", "i18n": text,
    "js": (WEB / "page.js").read_text(encoding="utf-8"), "favicon_path": WEB / "device" / "icon-512.png",
}  # fmt: skip
HEIGHT = 400  # of a picture on the page, in pixels
TOLD = (ChoiceError, ImageError, WeightsError)  # what is told to visitors in the project's own words


@contextmanager
def friendly() -> Iterator[None]:
    """Show errors to the visitor in the project's own words."""
    try:
        yield
    except TOLD as error:  # the page would show HTML, and a file's name may hold some
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None


def need(given: Any) -> Any:
    """Return the input of a button, or ask the visitor for it."""
    if not given:
        raise gr.Error("Upload a picture first.", print_exception=False)
    return given


def component(name: str, *scripts: str, **props: Any) -> gr.HTML:
    """Build what `web/NAME.html` and the scripts in `web/` describe."""
    return gr.HTML(
        html_template=(WEB / f"{name}.html").read_text(encoding="utf-8"),
        js_on_load="".join((WEB / f"{script}.js").read_text(encoding="utf-8") for script in (*scripts, name)),
        **props,
    )


def framing_choice(*more: str) -> gr.Radio:
    return gr.Radio([(text(name), name) for name in (*FRAMINGS, *more)], value="face", label=text("framing"))


def look_choices(models: Models, direction: Direction) -> list[Any]:
    """Build what a visitor may choose of the look: the size and the style, or the size, the colours and a photo."""
    sizes, other, *_ = look_offer(models, direction, models.first)
    with gr.Accordion(text(f"look_{direction.target}"), open=False):
        size = gr.Radio(sizes["choices"], value=0, label=text("size"))
        if direction.target == "sketch":
            style = gr.Radio(
                other["choices"], value="", label=text("style"), visible=other["visible"], elem_classes="looks"
            )
            return [size, style]
        colours = component("colours", "words", value={}, visible=other["visible"])
        like = gr.Image(
            label=text("like"), sources=["upload", "clipboard"], height=150, format="png", visible=other["visible"]
        )
    return [size, colours, like]


def look_offer(models: Models, direction: Direction, name: str) -> list[dict[str, Any]]:
    """Say what a release offers of the look, as updates of what `look_choices` builds."""
    release = models.release(name)
    sizes = [(text("automatic"), 0), *((f"{round(factor * release.image_size)}", factor) for factor in SIZES)]
    if direction.target == "sketch":
        styles = [(text("own_style"), ""), *((style, style) for style in release.styles)]
        return [gr.update(choices=sizes), gr.update(choices=styles, value="", visible=len(styles) > 1)]
    generator = release.generators.get(direction)
    return [gr.update(choices=sizes), *(2 * [gr.update(visible=bool(generator and generator.conditions))])]
