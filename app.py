"""The Gradio Space: photo to sketch and back, drawing, the live camera, and many pictures at once."""

import base64
import html
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, cast
from zipfile import ZipFile

import gradio as gr
from PIL import Image
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from cyclegan.directions import Direction
from cyclegan.engines.build import EngineError
from cyclegan.engines.web import export_web
from cyclegan.faces import LARGEST, SMALLEST, Frame, Framing, frame, frame_square
from cyclegan.images import ImageError, open_image, resize_to
from cyclegan.palette import PARTS, ChoiceError
from cyclegan.pipeline import FaceSketchPipeline
from cyclegan.prepare import judge
from cyclegan.release import EMBEDDED, WeightsError
from cyclegan.space.archives import list_pictures, png_name
from cyclegan.space.serving import Models

ROOT = Path(__file__).parent
WEB = ROOT / "web"
EXAMPLES = {"photo": ROOT / "examples" / "photos", "sketch": ROOT / "examples" / "sketches"}
TEXTS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (WEB / "texts").glob("*.json")}
text: Any = gr.I18n(**TEXTS)  # a language is a file; what goes wrong is told in English
FRAMINGS = ("face", "middle", "whole")
OPENED = 640  # pixels of the shorter side to which a picture is opened: enough to find a face and to convert it
HEIGHT = 400  # of a picture on the page, in pixels
MAX_UPLOAD = 50 * 2**20  # bytes a file
MAX_BATCH = 200  # pictures at once
MAX_WAITING = 100  # requests in line; who comes later is asked to come back
READERS = 8  # pictures that are opened at once, so that a slow one keeps few waiting; one thread converts them
MAX_RATIO = 8  # of a picture's sides: what is thinner shows no face
KEPT, SWEPT = 3000, 300  # seconds that files of visitors stay, and between two looks: within the hour all are gone
Pair = tuple[str, str]  # the files of two pictures
Square = list[float]  # left, top and side, each in shorter sides of the picture


@contextmanager
def friendly() -> Iterator[None]:
    """Show errors to the visitor in the project's own words."""
    try:
        yield
    except (
        ChoiceError,
        ImageError,
        WeightsError,
    ) as error:  # the page would show HTML, and a file's name may hold some
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None


def need(given: Any) -> Any:
    """Return the input of a button, or ask the visitor for it."""
    if not given:
        raise gr.Error("Upload a picture first.", print_exception=False)
    return given


def read_upload(sent: dict[str, Any]) -> Image.Image:
    """Open a picture that a visitor or an API client sent, by the project's own rules and with its own errors.

    The events receive it unchanged, with `preprocess=False`. Gradio's own reading has other rules, and (6.31) opens any
    picture on this machine whose path is sent without `meta`. A `preprocess` set on an instance is lost in a visitor's
    session as soon as an example is chosen.
    """
    sent = sent if isinstance(sent, dict) else {}
    name, path, url = (given if isinstance(given := sent.get(key), str) else "" for key in ("orig_name", "path", "url"))
    if path:
        inside = False
        with suppress(OSError, ValueError):  # what is no path
            inside = Path(path).resolve().is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve())
        if not inside:
            raise ImageError("This picture was not sent to this app. Upload it first.")
        # Enough to find a face and to convert it
        picture = open_image(path, name or "This picture", OPENED, apart=True)
    elif url.startswith("data:"):  # of an API client
        try:
            content = base64.b64decode(url.partition(",")[2])
        except ValueError:
            raise ImageError("This picture is no valid base64: send data:image/png;base64,... as its url.") from None
        picture = open_image(content, size=OPENED, apart=True)
    else:
        raise ImageError(
            'This is no picture: send {"path": ...} of a file that was uploaded to this app, or {"url": '
            '"data:image/png;base64,..."}. Pictures of other addresses are not fetched.'
        )
    if max(picture.size) > MAX_RATIO * min(picture.size):
        raise ImageError(
            f"{name or 'This picture'} is {picture.width} x {picture.height} pixels, which is too thin to show a face. "
            "Crop it to the face first."
        )
    return picture


def read_pair(sent: Any) -> tuple[Image.Image, Image.Image]:
    """The two pictures of a slider: what was given, and what was made of it."""
    if not isinstance(sent, list | tuple) or len(sent) != 2:
        raise ImageError("Two pictures are needed here: what was given, and what was made of it.")
    return read_upload(sent[0]), read_upload(sent[1])


def write(picture: Image.Image) -> str:
    """Write a picture for a visitor to its own file and return the path.

    Gradio (6.31) names files after their content, and rewrites a file while it sends it to another visitor.
    """
    with tempfile.NamedTemporaryFile(
        dir=os.environ["GRADIO_TEMP_DIR"], prefix="face-", suffix=".png", delete=False
    ) as file:
        picture.save(file, "PNG")
    return file.name


def choose(picture: Image.Image, framing: str, own: Square | None, size: int) -> Frame:
    """Choose what is converted: one of FRAMINGS, or the visitor's own square; the middle if there is none."""
    if framing not in (*FRAMINGS, "own"):
        raise ImageError(f"There is no framing {framing!r}: it is {', '.join(FRAMINGS)} or own.")
    if framing != "own":
        return frame(picture, cast(Framing, framing), size)[0]
    if not own:
        return frame(picture, "middle", size)[0]
    left, top, side = (min(picture.size) * length for length in _checked(own))
    return frame_square(picture, left + side / 2, top + side / 2, side, size)


def tell(chosen: Frame, direction: Direction) -> None:
    """Tell a visitor why the result may not be what was expected."""
    kind = judge(chosen.image)
    if kind == "blank":
        gr.Info("There is nothing in this picture, so the answer is a blank page.")
    elif not chosen.found:
        gr.Info("No face was found, so the middle is converted. Drag the square if the face is elsewhere.")
    elif kind == "photo" and direction.source == "sketch":
        gr.Info("This looks like a photo, not like a drawing.")


def cut_out(picture: Image.Image, square: tuple[int, int, int] | None) -> Image.Image:
    if square is None:
        return picture
    left, top, side = square
    return picture.crop((left, top, left + side, top + side))


def _checked(own: Any) -> Square:
    """A visitor's own square, which a raw request may have made of anything."""
    numbers = isinstance(own, list) and len(own) == 3 and all(type(length) in (int, float) for length in own)
    if not numbers or not all(abs(length) <= MAX_RATIO for length in own) or own[2] <= 0:  # NaN is refused too
        raise ImageError(
            f"The own square is [left, top, side] in shorter sides of the picture, such as [0, 0.1, 0.8]; got {own!r}."
        )
    return own


def hand_over(page: Direction, sent: list[dict[str, Any]] | None) -> tuple[gr.Tabs, str]:
    """Show another page with the result of this page as its input."""
    with friendly():
        return gr.Tabs(selected=page), write(read_pair(need(sent))[1])


def framing_choice(*more: str) -> gr.Radio:
    return gr.Radio([(text(name), name) for name in (*FRAMINGS, *more)], value="face", label=text("framing"))


def conversion_page(
    models: Models, direction: Direction, weights: gr.Dropdown
) -> tuple[gr.Image, gr.ImageSlider, gr.Button]:
    """Build a conversion page and return its input, its result, and the button that sends the result on."""
    given, made = direction.source, direction.target
    with gr.Tab(text(direction), id=direction):
        with gr.Row():
            image = gr.Image(
                label=text(given), sources=["upload", "webcam", "clipboard"], format="png", height=HEIGHT,
                elem_classes="shown",
            )  # fmt: skip
            result = gr.ImageSlider(
                label=text(f"{given}_and_{made}"), format="png", interactive=False, height=HEIGHT,
                elem_classes="shown",
            )  # fmt: skip
        with gr.Row():
            with gr.Column():
                gr.Examples(sorted(map(str, EXAMPLES[given].glob("*.png"))), image, label=text(f"{given}_examples"))
                framing = framing_choice("own")
                square = gr.HTML(  # lies over the picture
                    html_template=(WEB / "crop.html").read_text(encoding="utf-8"), label=text("crop"),
                    js_on_load=(WEB / "crop.js").read_text(encoding="utf-8"), visible="hidden",
                )  # fmt: skip
            with gr.Column():
                with gr.Row():
                    back = gr.Button(text("back_again"))
                    send = gr.Button(text(f"send_{made}"))
                again = gr.Gallery(
                    label=text(f"{given}_again"), show_label=False, format="png", columns=3, height="auto",
                    visible=False, elem_classes="again",
                )  # fmt: skip

    def convert(
        sent: dict[str, Any] | None, name: str, framing: str, own: Square | None
    ) -> tuple[Pair | None, gr.Gallery, Any]:
        if sent is None:
            return None, gr.Gallery(visible=False), None
        with friendly():
            picture = read_upload(sent)
            chosen = choose(picture, framing, own, models.image_size)
            tell(chosen, direction)
            converted = chosen.turn_back(models.convert(direction, name, chosen.image, size="own"))
            # The visitor's own square stays: it may have been moved again meanwhile
            unit = min(picture.size)
            square = chosen.square and [length / unit for length in chosen.square]
            shown = gr.skip() if framing == "own" and own else square
            pair = write(resize_to(cut_out(picture, chosen.square), min(converted.size))), write(converted)
            return pair, gr.Gallery(visible=False), shown

    def go_back(sent: list[dict[str, Any]] | None, name: str) -> gr.Gallery:
        with friendly():
            before, after = read_pair(need(sent))
            pictures = before, after, models.convert(direction.back, name, after)
            return gr.Gallery(list(map(write, pictures)), visible=True)

    settings: Any = {
        "fn": convert, "inputs": [image, weights, framing, square], "outputs": [result, again, square],
        "preprocess": False, "trigger_mode": "always_last", "api_visibility": "private", "concurrency_id": "convert",
        "concurrency_limit": READERS,
    }  # fmt: skip
    # The visitor's own square was for the picture before
    forget = "(framing) => [framing === 'own' ? 'face' : framing, null]"
    image.change(None, framing, [framing, square], js=forget).then(**settings)
    gr.on([framing.input, weights.input], **settings, show_progress="hidden")
    square.input(None, None, framing, js="() => 'own'").then(**settings, show_progress="hidden")
    back.click(**settings | {"fn": go_back, "inputs": [result, weights], "outputs": again})
    return image, result, send


def panel_page(name: str, models: Models) -> None:
    """Build Draw or Live: HTML and JavaScript that talk to `models.live`."""
    starts = sorted(EXAMPLES["sketch"].glob("*.png")) if name == "draw" else []
    with gr.Tab(text(name), id=name):
        gr.HTML(
            html_template=(WEB / f"{name}.html").read_text(encoding="utf-8"),
            js_on_load="".join((WEB / file).read_text(encoding="utf-8") for file in ("stream.js", f"{name}.js")),
            apply_default_css=False,
            texts=TEXTS,
            size=models.image_size,
            first=models.first,
            examples={
                file.stem: f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" for file in starts
            },
        )


def batch_page(models: Models, weights: gr.Dropdown) -> None:
    with gr.Tab(text("batch"), id="batch"), gr.Row():
        with gr.Column():
            files = gr.Files(
                label=text("files"), height=HEIGHT
            )  # any type: one bad file is told, and the others convert
            directions = [(text(direction), direction) for direction in Direction]
            direction = gr.Radio(directions, value=Direction.PHOTO_TO_SKETCH, label=text("direction"))
            framing = framing_choice()
            start = gr.Button(text("convert_all"), variant="primary")
        with gr.Column():
            made = gr.Gallery(label=text("converted"), format="png", columns=4, height=HEIGHT)
            archive = gr.DownloadButton(text("zip"), interactive=False)
            report = gr.Markdown()

    def convert(
        files: list[str] | None, direction: Direction, framing: str, name: str,
        progress: Any = gr.Progress(),  # noqa: B008, the way to ask for it
    ) -> tuple[list[tuple[str, str]], gr.DownloadButton, str]:  # fmt: skip
        pictures = list_pictures(map(Path, need(files)))
        problems = [f"Only the first {MAX_BATCH} pictures were converted."] if len(pictures) > MAX_BATCH else []
        made: list[tuple[str, str]] = []
        taken: set[str] = set()
        target = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])) / f"{direction}.zip"
        with ZipFile(target, "w") as archive:
            for source, read in progress.tqdm(pictures[:MAX_BATCH], unit="pictures"):
                try:
                    chosen = choose(open_image(read(), source, OPENED, apart=True), framing, None, models.image_size)
                    picture = chosen.turn_back(models.convert(direction, name, chosen.image, size="own"))
                except ImageError as error:
                    problems.append(str(error))
                    continue
                made.append((write(picture), png_name(source, taken)))
                archive.write(*made[-1])
        listed = "".join(f"\n- {html.escape(problem)}" for problem in problems)
        download = gr.DownloadButton(value=str(target) if made else None, interactive=bool(made))
        return made, download, f"{len(made)} of {len(pictures)} converted.{listed}"

    start.click(
        convert, [files, direction, framing, weights], [made, archive, report],
        api_name="batch", api_visibility="undocumented", show_progress_on=made, concurrency_limit=1,
    )  # fmt: skip


def endpoint(models: Models, direction: Direction) -> None:
    """Add the endpoint /photo_to_sketch or /sketch_to_photo for gradio_client, plain HTTP and MCP."""
    given, made = direction.source, direction.target

    def answer(image: dict[str, Any] | None, framing: str, size: int | None, **choices: str) -> str:
        with friendly():
            picture = read_upload(need(image))
            size = models.image_size if size is None else size
            if type(size) is not int or not SMALLEST <= size <= LARGEST:
                raise ImageError(f"size is from {SMALLEST} to {LARGEST} pixels; got {size!r}.")
            chosen = choose(picture, framing, None, size)
            given = {name: choice for name, choice in choices.items() if choice}
            return write(chosen.turn_back(models.convert(direction, models.first, chosen.image, size="own", **given)))

    def draw(image: dict[str, Any] | None, framing: str = "face", size: int | None = None, style: str = "") -> str:
        return answer(image, framing, size, style=style)

    def paint(
        image: dict[str, Any] | None,
        framing: str = "face",
        size: int | None = None,
        skin: str = "",
        hair: str = "",
        background: str = "",
    ) -> str:
        return answer(image, framing, size, skin=skin, hair=hair, background=background)

    convert: Callable[..., str] = draw
    choices, about = ["style"], "style: one of the release's, such as bold."
    if direction.target == "photo":
        convert, choices, about = paint, [*PARTS], "skin, hair, background: colours such as #e0ac69 or black."
    convert.__name__ = direction  # what an MCP client sees
    gr.on(
        [], convert,
        [
            gr.Image(label=given, visible=False),
            gr.Radio(list(FRAMINGS), value="face", label="framing", visible=False),
            gr.Number(models.image_size, label="size", precision=0, visible=False),
            *(gr.Textbox("", label=choice, visible=False) for choice in choices),
        ],
        gr.Image(label=made, format="png", visible=False),
        preprocess=False, api_name=direction, concurrency_id="convert", concurrency_limit=READERS,
        api_description=f"Make a {made} of the face in a {given}. framing: the largest face, the middle, which is also "
        "taken where there is no face, or the whole picture, whose shape is kept. size: the result's shorter side. "
        f"{about} The model chooses what is left empty.",
    )  # fmt: skip


class Blocks(gr.Blocks):
    """Gradio's, in which plain HTTP may leave out what has a default, as gradio_client and MCP may."""

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        inputs += [block.value for block in block_fn.inputs[len(inputs) :]]


def build(models: Models) -> gr.Blocks:
    def show_figures(name: str) -> str:
        with friendly():
            return models.figures(name)

    with Blocks(title="Face photo ↔ sketch") as demo:
        gr.Markdown(text("title"))
        weights = gr.Dropdown(list(models.offers), value=models.first, label=text("weights"), render=False)
        with gr.Tabs() as tabs:
            pages = {direction: conversion_page(models, direction, weights) for direction in Direction}
            panel_page("draw", models)
            panel_page("live", models)
            batch_page(models, weights)
        for direction, (_, result, send) in pages.items():
            page = direction.back
            send.click(
                partial(hand_over, page), result, [tabs, pages[page][0]], preprocess=False, api_visibility="private"
            )
        gr.Markdown(text("about"))
        gr.HTML(
            html_template='<a href="device/" target="_blank" hidden>${label}</a>', label=text("device_page"),
            js_on_load="fetch('device/release.json').then(({ ok }) => { element.querySelector('a').hidden = !ok; });",
        )  # fmt: skip
        with gr.Accordion(text("model"), open=False):
            weights.render()
            figures = gr.Markdown(models.figures(models.first))
            tell = "(name) => { window.chosenWeights = name; dispatchEvent(new Event('weights')); }"  # Draw and Live
            weights.input(None, weights, js=tell)
            weights.input(show_figures, weights, figures, api_visibility="private", concurrency_limit=1)
        for direction in Direction:
            endpoint(models, direction)
    return demo.queue(max_size=MAX_WAITING, api_open=False)  # nobody passes the line


def sweep(folder: Path, kept: set[Path], older_than: float) -> None:
    """Delete visitors' files. Gradio's own `delete_cache` (6.31) stops for good if a file arrives while it looks."""
    for file in set(folder.rglob("*")) - kept:
        with suppress(OSError):
            if file.is_file() and time.time() - file.stat().st_ctime > older_than:
                file.unlink()


def keep_swept(folder: Path) -> None:
    kept = set(folder.rglob("*"))  # the examples
    while True:
        time.sleep(SWEPT)
        sweep(folder, kept | set((folder / "device").rglob("*")), KEPT)


class DevicePage(StaticFiles):
    """The page that converts on the visitor's own device, with the headers that threads need."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
        return response


def make_device_page(weights: str, folder: Path) -> None:
    """Export that page for the release that is shown first; without it the server converts everything."""
    try:
        export_web(FaceSketchPipeline.from_pretrained(weights, device="cpu"), folder)
    except Exception as error:  # no network, no package: whatever it is, the app goes on
        warnings.warn(f"Visitors cannot convert on their own devices: {error}", stacklevel=1)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder is deleted then too
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    with tempfile.TemporaryDirectory(prefix="face-sketch-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        models = Models(
            os.environ.get("CYCLEGAN_WEIGHTS") or str(EMBEDDED), os.environ.get("CYCLEGAN_ENGINE") or "auto"
        )
        for direction in models.load(models.offers[models.first]).generators:
            models.convert(direction, models.first, Image.new("RGB", (64, 64)))  # the first picture takes longest
        demo = build(models)
        device = Path(folder) / "device"
        device.mkdir()
        Thread(target=make_device_page, args=(models.offers[models.first], device), daemon=True).start()
        Thread(target=keep_swept, args=(Path(folder),), daemon=True).start()
        demo.launch(
            app_kwargs={
                "routes": [
                    WebSocketRoute("/live/{direction}", models.live),
                    Mount("/device", DevicePage(directory=device, html=True)),
                ]
            },
            theme=gr.themes.Soft(primary_hue="indigo", neutral_hue="stone", font="sans-serif", font_mono="monospace"),
            css_paths=WEB / "style.css",
            js=(WEB / "page.js").read_text(encoding="utf-8"),
            i18n=text,
            mcp_server=True,
            max_file_size=MAX_UPLOAD,
            state_session_capacity=100,  # 0.2 MB each, and nothing that a visitor would miss
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
