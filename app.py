"""The Gradio Space: photo to sketch and back, drawing, the live camera, and many pictures at once."""

import html
import os
import signal
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from PIL import Image

from cyclegan.extras import install

try:
    import gradio as gr
    import gradio.mcp
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Mount, Route, WebSocketRoute
    from starlette.staticfiles import StaticFiles
except ModuleNotFoundError as missing:
    sys.exit(f"The app needs the package {missing.name}: {install('app')}.")

from cyclegan.directions import Direction
from cyclegan.engines.build import EngineError
from cyclegan.release import EMBEDDED, WeightsError
from cyclegan.space.beside import add_history, add_versus, make_surprise
from cyclegan.space.conversion import convert_back, convert_files, convert_upload, legible
from cyclegan.space.device import DevicePage, make_device_page
from cyclegan.space.elements import (
    HEAD,
    HEIGHT,
    LOOK,
    TOLD,
    component,
    framing_choice,
    friendly,
    look_choices,
    look_offer,
    need,
    text,
)
from cyclegan.space.endpoints import READERS, Blocks, endpoint
from cyclegan.space.files import LimitRequests, keep_swept, own_folder, read_pair, write
from cyclegan.space.head import set_head
from cyclegan.space.here import device_first, offer_device
from cyclegan.space.looks import Looks
from cyclegan.space.saving import FORMS, save
from cyclegan.space.serving import Models

ROOT = Path(__file__).parent
EXAMPLES = {"photo": ROOT / "examples" / "photos", "sketch": ROOT / "examples" / "sketches"}
TITLE = "Face photo ↔ sketch"
ABOUT = "Turn a photo into a pencil sketch, or a drawing into a photo: upload, draw, or look into the camera."
MAX_UPLOAD = 50 * 2**20  # bytes a file
MAX_WAITING = 100  # requests in line; who comes later is asked to come back


def conversion_page(
    models: Models, direction: Direction, weights: gr.Dropdown
) -> tuple[gr.Image, gr.ImageSlider, gr.Button]:
    """Build a conversion page and return its input, its result, and the button that sends the result on."""
    given, made = direction.source, direction.target
    with gr.Tab(text(f"tab_{direction}"), id=direction), gr.Row(elem_classes="conversion"):
        with gr.Column():
            image = gr.Image(
                label=text(given), sources=["upload", "webcam", "clipboard"], format="png", height=HEIGHT,
                elem_classes="shown",
            )  # fmt: skip
            examples = sorted(EXAMPLES[given].iterdir())
            gr.Examples([*map(str, examples)], image, label=text(f"{given}_examples"))
            surprise = gr.Button(text("surprise"))
            framing = framing_choice("faces", "pasted", "own")
            square = component("crop", "words", visible="hidden")  # lies over the picture
        with gr.Column():
            result = gr.ImageSlider(
                label=text(f"{given}_and_{made}"), format="png", interactive=False, height=HEIGHT,
                elem_classes=["shown", "result"],
            )  # fmt: skip
            outcome = component("outcome", "words", "keep", "lines", made=made, forms=[*FORMS])
            with gr.Row():
                back = gr.Button(text("back_again"), interactive=False)
                send = gr.Button(text(f"send_{made}"), interactive=False)
            again = gr.Gallery(
                label=text(f"{given}_again"), show_label=False, format="png", columns=3, height="auto",
                visible=False, elem_classes="again", buttons=["download", "fullscreen"],
            )  # fmt: skip
            looks = look_choices(models, direction)
            other, both = add_versus(models, direction, image, weights, [framing, square, *looks])
            here = offer_device(models, direction)
            add_history(made, result, outcome, [back, send])
        make_surprise(models, direction, surprise, image, weights, looks[1], examples)

    def show(pair: Any = None, told: Any = None, place: Any = None, shown: Any = None, ready: Any = False) -> Any:
        buttons = {button: gr.Button(interactive=ready) for button in (back, send)}
        return {
            image: shown or gr.skip(), outcome: told, square: place, result: pair, again: gr.Gallery(visible=False),
            other: None, both: gr.ImageSlider(visible=False),
        } | buttons  # fmt: skip

    def convert(sent: Any, name: str, framing: str, own: Any, *looks: Any) -> dict[Any, Any]:
        if sent is None:
            return show(told=gr.skip())
        try:
            if shown := legible(sent):
                return show(shown=shown)  # which is converted in its turn
            converted = convert_upload(models, direction, sent, name, framing, own, *looks)
        except TOLD as error:
            return show(told={"error": str(error)})
        place: Any = {"square": next(iter(converted.squares), None), "faces": converted.squares}
        if framing == "own" and own:
            place = gr.skip()  # the visitor's own square stays: it may have been moved again meanwhile
        return show(converted.pair, {"told": converted.told, "name": Path(converted.pair[1]).stem}, place, ready=True)

    def go_back(sent: Any, name: str) -> gr.Gallery:
        with friendly():
            return gr.Gallery(convert_back(models, direction, need(sent), name), visible=True)

    settings: Any = {
        "fn": convert, "inputs": [image, weights, framing, square, *looks],
        "outputs": {image, result, again, square, outcome, back, send, other, both}, "concurrency_limit": READERS,
        "preprocess": False, "trigger_mode": "always_last", "api_visibility": "private", "concurrency_id": "convert",
    }  # fmt: skip
    # The visitor's own square, and "the whole picture", were for the picture before
    forget = "(framing) => [['middle', 'faces', 'pasted'].includes(framing) ? framing : 'face', null]"
    converts = device_first(direction, "convert", [result, square, outcome, back, send, again], settings)
    converts(image.change(None, framing, [framing, square], js=forget).then)
    changed = [framing.input, *(part.change if isinstance(part, gr.Image) else part.input for part in looks)]
    converts(partial(gr.on, [*changed, here.input]), show_progress="hidden")
    offers = {"fn": partial(look_offer, models, direction), "inputs": weights, "outputs": looks}
    converts(weights.input(**offers, api_visibility="private").then, show_progress="hidden")  # type: ignore[arg-type]
    converts(square.input(None, None, framing, js="() => 'own'").then, show_progress="hidden")
    goes_back = settings | {"fn": go_back, "inputs": [result, weights], "outputs": again}
    device_first(direction, "convertBack", [again, outcome], goes_back)(back.click)
    return image, result, send


def hand_over(page: Direction, sent: list[dict[str, Any]] | None) -> tuple[gr.Tabs, str]:
    """Show another page with the result of this page as its input."""
    with friendly():
        _, made, stem = read_pair(need(sent))
        return gr.Tabs(selected=page), write(made, stem)


def panel_page(name: str, models: Models, *scripts: str, value: Any = None) -> gr.HTML:
    """Build Draw or Live: HTML and JavaScript that talk to `models.live`."""
    starts = sorted(EXAMPLES["sketch"].iterdir()) if name == "draw" else []
    examples = {file.stem: f"examples/{file.relative_to(ROOT / 'examples').as_posix()}" for file in starts}
    with gr.Tab(text(name), id=name):
        return component(
            name, "words", "keep", "engine", "stream", *scripts, value=value, apply_default_css=False,
            size=models.image_size, first=models.first, elem_classes=name, examples=examples,
        )  # fmt: skip


def batch_page(models: Models, weights: gr.Dropdown) -> None:
    with gr.Tab(text("batch"), id="batch"), gr.Row():
        with gr.Column():
            files = gr.Files(label=text("files"), height=HEIGHT, elem_classes="files")  # any type: bad ones are told
            directions = [(text(direction), direction) for direction in Direction]
            direction = gr.Radio(directions, value=Direction.PHOTO_TO_SKETCH, label=text("direction"))
            framing = framing_choice()
            looks = look_choices(models, Direction.PHOTO_TO_SKETCH)
            start = gr.Button(text("convert_all"), variant="primary", interactive=False)
        with gr.Column():
            archive = gr.DownloadButton(text("zip"), interactive=False)
            report = gr.Markdown(elem_classes="told-aloud")
            made = component("pairs", "words", value=[])

    def convert(
        files: list[str] | None, direction: Direction, framing: str, name: str, factor: float, style: str,
        progress: Any = gr.Progress(),  # noqa: B008, the way to ask for it
    ) -> tuple[list[dict[str, str]], gr.DownloadButton, str]:  # fmt: skip
        with friendly():
            files, tqdm = need(files), partial(progress.tqdm, unit="pictures")
            made, archive, summary, problems = convert_files(
                models, Direction(direction), files, framing, name, factor, style, tqdm
            )
        listed = "".join(f"\n- {html.escape(problem)}" for problem in problems)
        return made, gr.DownloadButton(value=archive, interactive=bool(made)), summary + listed

    files.change(None, files, start, js="(files) => ({ interactive: Boolean(files?.length), __type__: 'update' })")
    offers = partial(look_offer, models, Direction.PHOTO_TO_SKETCH)
    weights.input(offers, weights, looks, api_visibility="private")
    start.click(
        convert, [files, direction, framing, weights, *looks], [made, archive, report],
        api_name="batch", api_visibility="undocumented", show_progress_on=archive, concurrency_limit=READERS,
    )  # fmt: skip


def build(models: Models) -> gr.Blocks:
    def show_figures(name: str) -> str:
        with friendly():
            return models.figures(name)

    def styles(name: str) -> dict[str, Any]:
        with friendly():
            return {"weights": name, "styles": models.release(name).styles}

    with Blocks(title=TITLE) as demo:
        gr.Markdown(text("title"))
        warm, timer = gr.Markdown(text("warming"), visible=False, elem_classes="warming told-aloud"), gr.Timer(5)
        weights = gr.Dropdown(list(models.offers), value=models.first, label=text("weights"), render=False)
        with gr.Tabs() as tabs:
            pages = {direction: conversion_page(models, direction, weights) for direction in Direction}
            panel_page("draw", models, "trace", "replay")
            live = panel_page("live", models, value=styles(models.first))
            batch_page(models, weights)
        for direction, (_, result, send) in pages.items():
            page = direction.back
            send.click(
                partial(hand_over, page), result, [tabs, pages[page][0]], preprocess=False, api_visibility="private"
            )
        gr.Markdown(text("about"))
        component("device_link", label=text("device_page"))
        with gr.Accordion(text("model"), open=False):
            weights.render()
            figures = gr.Markdown(models.figures(models.first))
            tell = "(name) => { window.chosenWeights = name; dispatchEvent(new Event('weights')); }"  # Draw and Live
            weights.input(None, weights, js=tell)
            weights.input(styles, weights, live, api_visibility="private", show_progress="hidden")
            weights.input(show_figures, weights, figures, api_visibility="private", concurrency_limit=1)
        for direction in Direction:
            endpoint(models, direction)
        gr.on(
            [demo.load, timer.tick],
            lambda: (gr.Markdown(visible=models.warming > 0), gr.Timer(active=models.warming > 0)), None, [warm, timer],
            queue=False, show_progress="hidden", api_visibility="private",
        )  # fmt: skip
    return demo.queue(max_size=MAX_WAITING, api_open=False)  # nobody passes the line


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder is deleted then too
    # Nothing is reported, and no statistics of the last 10,000 requests are made after each one (Gradio 6.31)
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000"}
    with own_folder() as own:
        os.environ["GRADIO_TEMP_DIR"] = gradio.mcp.DEFAULT_TEMP_DIR = str(own)  # MCP's was read when it was imported
        weights, engine = os.environ.get("CYCLEGAN_WEIGHTS"), os.environ.get("CYCLEGAN_ENGINE")
        models = Models(weights or str(EMBEDDED), engine or "auto")
        for direction in models.release(models.first).generators:
            # The first picture takes longest. A blank one that is prepared would not be converted at all
            models.convert(direction, models.first, Image.new("RGB", (64, 64)), prepare=False)
        set_head(HEAD, TITLE, ABOUT, "examples/preview.jpg")
        demo = build(models)
        device = own / "device"
        device.mkdir()
        Thread(target=make_device_page, args=(models.offers[models.first], device), daemon=True).start()
        Thread(target=keep_swept, args=(own, device), daemon=True).start()
        demo.launch(
            app_kwargs={
                "routes": [
                    Route("/saved/{form}", save, methods=["POST"]),
                    Route("/look", Looks(models, EXAMPLES["photo"] / "anna.webp").answer),
                    WebSocketRoute("/live/{direction}", models.live),
                    Mount("/device", DevicePage(directory=device, html=True)),
                    Mount("/examples", StaticFiles(directory=ROOT / "examples")),
                ],
                "middleware": [Middleware(GZipMiddleware), Middleware(LimitRequests)],
            },
            **LOOK,
            pwa=True,
            mcp_server=True,
            max_file_size=MAX_UPLOAD,
            state_session_capacity=20,  # 0.2 MB and a request each, and nothing that a visitor would miss
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=["api", "settings"],
        )


if __name__ == "__main__":
    try:
        main()
    except (EngineError, WeightsError) as error:
        sys.exit(str(error))
