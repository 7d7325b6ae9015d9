"""The real app in a real browser: what a visitor sees and does. Screenshots of every page go to /screenshots."""

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, picture
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, TimeoutError, expect, sync_playwright

from benchmarks.live import COUNT, film, find_chromium
from benchmarks.visit import SHIFTS, shifted
from cyclegan import FaceSketchPipeline
from cyclegan.release import EMBEDDED

CHROMIUM = find_chromium()
PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1200, "height": 950}
SMALL_PHONE = {"width": 360, "height": 740}
EMBEDDED_SIZE = json.loads((EMBEDDED / "config.json").read_text())["image_size"]
SCREENSHOTS = ROOT / "screenshots"
FACE, CORNER = (80, 90, 200, 210), (270, 0, 285, 15)  # of two faces side by side: in the first one, and in neither

if not CHROMIUM and not os.environ.get("CI"):
    pytest.skip("There is no Chromium: install one, or set CHROMIUM to its path.", allow_module_level=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM, "CI has no Chromium: .ci/run installs it"
    flags = film(tmp_path_factory.mktemp("camera") / "face.mjpeg")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=flags) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=LAPTOP, permissions=["camera"]) as context:  # type: ignore[arg-type]
        yield context


@pytest.fixture
def page(context: BrowserContext, app_url: str) -> Iterator[Page]:
    """A page on which nothing goes wrong and which asks nobody else for anything."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if foreign(request.url, app_url) else None)
    visit(page, app_url)
    yield page
    assert not problems


def foreign(url: str, app_url: str) -> bool:
    return not url.startswith((app_url, "data:", "blob:"))


def visit(page: Page, url: str) -> None:
    """Open the app, without the page for the visitor's own device, which may be faster than the server."""
    page.route("**/device/release.json", lambda route: route.fulfill(status=404))
    page.goto(url)
    expect(page.get_by_role("tab", name="Sketch a photo")).to_be_visible(timeout=60_000)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def upload(page: Page, *files: Path) -> None:
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(files)


def result(page: Page) -> Locator:
    """The converted picture of the page in front: the upper one of the slider."""
    return page.locator("[role=tabpanel]:visible .slider-wrap img.fixed")


def loaded(image: Locator) -> Image.Image:
    expect(image).to_be_visible(timeout=30_000)
    return Image.open(io.BytesIO(httpx.get(image.get_attribute("src") or "").content)).convert("RGB")


def result_that(page: Page, fits: Callable[[Image.Image], bool]) -> Image.Image:
    """Wait for a result. The picture may be converted once more before it, if the weights have just been chosen."""
    deadline = time.monotonic() + 30
    while not fits(made := loaded(result(page))):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    return made


def alike(wanted: Image.Image, made: Image.Image) -> bool:
    return made.size == wanted.size and np.abs(np.asarray(made, float) - np.asarray(wanted, float)).mean() < 1


def take_screenshot(page: Page, path: Path) -> None:
    try:
        page.screenshot(path=path, full_page=True, timeout=10_000)
    except TimeoutError:  # now and then a busy Chromium paints no frame for it
        page.screenshot(path=path, full_page=True)


def choose_embedded_weights(page: Page) -> None:
    page.get_by_role("button", name="Weights, and how good they are").click()
    page.get_by_label("Weights", exact=True).click()
    page.get_by_role("option", name="embedded weights").click()


def pixels(canvas: Locator) -> str:
    return str(canvas.evaluate("canvas => canvas.toDataURL()"))


def wait_for_change(page: Page, canvas: str, before: str) -> None:
    page.wait_for_function(
        "([canvas, before]) => document.querySelector(canvas).toDataURL() !== before", arg=[canvas, before]
    )


@pytest.mark.parametrize(
    ("tab", "direction"), [("Sketch a photo", "photo_to_sketch"), ("Photo from a sketch", "sketch_to_photo")]
)
def test_a_picture_is_converted_at_once_and_sent_back_again(
    page: Page, release: Path, tmp_path: Path, tab: str, direction: str
) -> None:
    picture(3, (200, 200)).save(tmp_path / "mine.png")
    pipe: Any = FaceSketchPipeline.from_pretrained(release, device="cpu")
    open_tab(page, tab)
    frame = page.locator("[role=tabpanel]:visible .shown").nth(1)
    before = frame.bounding_box()
    upload(page, tmp_path / "mine.png")
    made = loaded(result(page))
    assert made.tobytes() == getattr(pipe, direction)(picture(3, (200, 200))).tobytes()
    assert frame.bounding_box() == before, "nothing moves when the result arrives"

    lower, upper = (page.locator("[role=tabpanel]:visible .slider-wrap img").nth(n).bounding_box() for n in (0, 1))
    assert lower == upper, "the two pictures lie over one another"

    with page.expect_download() as download:
        page.locator("[role=tabpanel]:visible .slider-wrap").locator("..").locator("a[download]").click()
    with Image.open(download.value.path()) as file:
        assert file.format == "PNG"
        assert file.convert("RGB").tobytes() == made.tobytes()

    page.get_by_role("button", name="And back again").click()
    again = page.locator("[role=tabpanel]:visible .again img")
    expect(again).to_have_count(3, timeout=30_000)
    back = getattr(pipe, "sketch_to_photo" if direction == "photo_to_sketch" else "photo_to_sketch")(made)
    assert loaded(again.nth(2)).tobytes() == back.tobytes()

    page.get_by_role("button", name=re.compile("^Turn this")).click()
    other = "Photo from a sketch" if direction == "photo_to_sketch" else "Sketch a photo"
    expect(page.get_by_role("tab", name=other)).to_have_attribute("aria-selected", "true")
    # A result of these weights is a blur, in which the other page may find a face
    turned = getattr(pipe, "sketch_to_photo" if direction == "photo_to_sketch" else "photo_to_sketch")(made, "face")
    assert loaded(result(page)).tobytes() == turned.tobytes()


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], finger: bool) -> None:
    """From one place on the screen to another, with the mouse or a finger."""
    if finger:
        devtools = page.context.new_cdp_session(page)
        for kind, points in (("Start", [start]), ("Move", [end]), ("End", [])):
            touches = [{"x": x, "y": y} for x, y in points]
            devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touches})
    else:
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(*end, steps=4)
        page.mouse.up()


@pytest.mark.parametrize(("viewport", "finger"), [(LAPTOP, False), (PHONE, True)], ids=["mouse", "finger"])
def test_the_square_that_is_converted_is_shown_and_dragged(
    page: Page, release: Path, tmp_path: Path, viewport: Any, finger: bool
) -> None:
    page.set_viewport_size(viewport)
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu")
    wide = picture(3, (300, 200))
    wide.save(tmp_path / "wide.png")
    upload(page, tmp_path / "wide.png")
    panel = page.locator("[role=tabpanel]:visible")
    square, own = panel.get_by_role("group", name="Part to convert"), panel.get_by_label("My own square")
    source = ""

    def converted() -> Image.Image:
        nonlocal source
        expect(result(page)).not_to_have_attribute("src", source, timeout=30_000)
        source = result(page).get_attribute("src") or ""
        return loaded(result(page))

    def place() -> list[float]:
        """Left, top and side of the square, in shorter sides of the picture."""
        box, image = square.bounding_box(), panel.locator(".image-frame img").bounding_box()
        assert box
        assert image
        scale = min(image["width"] / 300, image["height"] / 200)
        left, top = image["x"] + (image["width"] - 300 * scale) / 2, image["y"] + (image["height"] - 200 * scale) / 2
        return [length / (200 * scale) for length in (box["x"] - left, box["y"] - top, box["width"])]

    assert converted().tobytes() == pipe.photo_to_sketch(wide.crop((50, 0, 250, 200))).tobytes()
    assert place() == pytest.approx([0.25, 0, 1], abs=0.01)
    layout = own.bounding_box()
    box = square.bounding_box()
    assert box
    x, y, side = box["x"], box["y"], box["width"]
    drag(page, (x + side / 2, y + side / 2), (x - side, y + side / 2), finger)  # further than the picture goes
    assert converted().tobytes() == pipe.photo_to_sketch(wide.crop((0, 0, 200, 200))).tobytes()
    expect(own).to_be_checked()
    assert own.bounding_box() == layout

    x -= side / 4
    drag(page, (x + side - 4, y + side - 4), (x + side / 2 - 4, y + side / 2 - 4), finger)
    converted()
    assert place() == pytest.approx([0, 0, 0.5], abs=0.01)
    for key in ("ArrowRight", "ArrowDown", "-"):
        square.press(key)
        converted()
    assert place() == pytest.approx([0.02, 0.02, 0.48], abs=0.01)

    if finger:
        panel.locator(".crop").get_by_role("button", name="Undo").click()
    else:
        square.press("Control+z")
    converted()
    assert place() == pytest.approx([0.02, 0.02, 0.5], abs=0.01)

    panel.get_by_label("The middle").click()
    converted()
    assert place() == pytest.approx([0.25, 0, 1], abs=0.01)
    panel.get_by_label("Whole picture").click()
    assert converted().size == (48, 32)
    expect(square).to_be_hidden()
    panel.get_by_role("button", name="anna").click()
    converted()
    expect(square).to_be_visible()  # "the whole picture" was for the picture before
    expect(panel.get_by_label("The face")).to_be_checked()


def test_a_snapshot_of_the_camera_is_converted(page: Page) -> None:
    page.get_by_label("Capture from camera").first.click()
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_label("capture photo").click(timeout=15_000)
    expect(result(page)).to_be_visible(timeout=30_000)


def test_what_is_wrong_stands_in_the_frame_until_a_good_picture_comes(page: Page, tmp_path: Path) -> None:
    panel = page.locator("[role=tabpanel]:visible")
    buttons = [panel.get_by_role("button", name=name) for name in ("Save", "And back again", "Turn this sketch")]
    for button in buttons:
        expect(button).to_be_disabled()
    (tmp_path / "page.png").write_text("<html>")
    upload(page, tmp_path / "page.png")
    told = panel.locator(".shown .told")
    expect(told).to_contain_text("page.png is not a picture", timeout=30_000)
    expect(panel.locator(".image-frame img")).to_be_hidden()  # it would be a broken one
    for button in buttons:
        expect(button).to_be_disabled()
    page.get_by_label("Remove Image").first.click()
    picture(1).save(tmp_path / "photo.heic", quality=90)  # which Chromium cannot show
    upload(page, tmp_path / "photo.heic")
    expect(result(page)).to_be_visible(timeout=30_000)
    assert loaded(panel.locator(".image-frame img")).size == (48, 40)
    expect(told).to_have_text("No face was found, so this is the middle. Drag the square to the face.")
    for button in buttons:
        expect(button).to_be_enabled()


def assert_enlarged(image: Image.Image, made: Image.Image) -> None:
    """What is saved has 512 pixels at least."""
    assert min(image.size) == 512
    enlarged = made.resize(image.size, Image.Resampling.BILINEAR)
    again, wanted = (
        np.asarray(one.convert("RGB").resize(made.size, Image.Resampling.BOX), float) for one in (image, enlarged)
    )
    assert np.abs(again - wanted).mean() < 6


def saved(page: Page, button: str) -> tuple[str, Image.Image]:
    with page.expect_download() as download:
        page.locator("[role=tabpanel]:visible").get_by_role("button", name=button, exact=True).click()
    return download.value.suggested_filename, Image.open(download.value.path())


def test_a_result_is_kept_under_the_name_of_its_picture(page: Page, tmp_path: Path) -> None:
    picture(3, (200, 200)).save(tmp_path / "Anna Blume.jpg")
    upload(page, tmp_path / "Anna Blume.jpg")
    made = loaded(result(page))
    panel = page.locator("[role=tabpanel]:visible")
    expect(panel.get_by_role("button", name="Save")).to_be_enabled()
    name, image = saved(page, "Save")
    assert name == "Anna Blume-sketch.png"
    assert_enlarged(image, made)
    assert saved(page, "Before and after")[1].size == (1024, 512)
    name, ink = saved(page, "Transparent ink")
    assert (name, ink.mode) == ("Anna Blume-sketch-ink.png", "RGBA")
    grey = np.round(np.asarray(image.convert("RGB")) @ (0.299, 0.587, 0.114)).astype(int)
    paper = 255 - np.bincount(255 - grey.ravel(), minlength=256)[:64].argmax()  # the commonest of the light greys
    alpha = 255 - 255 * np.minimum(grey / paper, 1)
    assert np.abs(np.asarray(ink.getchannel("A"), float) - alpha).max() <= 3
    name, _ = saved_film(page)
    assert name.startswith("Anna Blume-sketch.")
    panel.get_by_role("slider", name="Darkness").fill("1")
    assert np.asarray(saved(page, "Save")[1].convert("L")).mean() < np.asarray(made.convert("L")).mean() - 5


def saved_film(page: Page) -> tuple[str, int]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Short film").first.click()
    return download.value.suggested_filename, Path(download.value.path()).stat().st_size


def test_every_face_has_a_number_and_is_converted_alone_or_with_the_others(page: Page, tmp_path: Path) -> None:
    both = Image.new("RGB", (560, 300), "grey")
    for place, name in enumerate(("anna", "felix")):
        both.paste(Image.open(ROOT / f"examples/photos/{name}.webp").resize((240, 240)), (20 + 270 * place, 30))
    both.save(tmp_path / "both.png")
    upload(page, tmp_path / "both.png")
    one = loaded(result(page))
    panel = page.locator("[role=tabpanel]:visible")
    expect(panel.locator(".face")).to_have_count(2, timeout=30_000)
    panel.get_by_role("button", name="Convert face 2").click(position={"x": 5, "y": 5})
    result_that(page, lambda other: other.tobytes() != one.tobytes())
    panel.get_by_label("Everyone, side by side").click()
    sheet = result_that(page, lambda sheet: sheet.size == (64, 32))
    assert sheet.crop((0, 0, 32, 32)).tobytes() == one.tobytes()


def test_a_page_whose_parts_come_in_another_order_is_the_same(context: BrowserContext, app_url: str) -> None:
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    late: list[Route] = []
    page.route("**/assets/ImagePreview-*.js", lambda route: late.append(route))
    page.goto(app_url)
    page.locator(".crop .square[aria-label]").first.wait_for(state="attached", timeout=60_000)
    assert late, "Gradio has another name for the part that is held back here"
    for route in late:
        route.continue_()
    page.get_by_role("button", name="anna").first.click()
    expect(page.locator("[role=tabpanel]:visible .crop .square")).to_be_visible(timeout=30_000)
    assert not [line for line in said if "js_on_load" in line]


def test_style_colours_and_size_are_chosen_on_the_page(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/#sketch_to_photo")
    expect(page.get_by_role("tab", name="Photo from a sketch")).to_have_attribute(
        "aria-selected", "true", timeout=30_000
    )
    choose_embedded_weights(page)
    pipe: Any = FaceSketchPipeline.from_pretrained(device="cpu")
    choices: Any = {"photo_to_sketch": {"style": "bold"}, "sketch_to_photo": {"hair": "#d9b36c"}}
    for direction, tab, folder in (
        ("sketch_to_photo", "Photo from a sketch", "sketches"),
        ("photo_to_sketch", "Sketch a photo", "photos"),
    ):
        open_tab(page, tab)
        panel = page.locator("[role=tabpanel]:visible")
        panel.get_by_role("button", name="ben").click()
        loaded(result(page))
        panel.get_by_role("button", name=re.compile("and size")).click()
        if direction == "photo_to_sketch":
            panel.get_by_label("bold").click()
        else:
            panel.get_by_role("button", name="Hair #d9b36c").click()
        with Image.open(ROOT / f"examples/{folder}/ben.webp") as ben:
            wanted = getattr(pipe, direction)(ben.convert("RGB"), "face", **choices[direction])
        result_that(page, partial(alike, wanted))
    panel.get_by_label("384").click()
    page.wait_for_function("document.querySelector('[role=tabpanel] img.fixed').naturalWidth === 384")


PAPER = """() => {
  const made = document.querySelector(".draw .made");
  const { data } = made.getContext("2d").getImageData(0, 0, made.width, made.height);
  return data.every((value) => value > 250);
}"""
# A phone's: this machine's camera says that it looks at the visitor, and there is another one
TWO_CAMERAS = """() => {
  const { mediaDevices } = navigator;
  const [list, open] = [mediaDevices.enumerateDevices.bind(mediaDevices), mediaDevices.getUserMedia.bind(mediaDevices)];
  mediaDevices.enumerateDevices = async () => [...await list(), { kind: "videoinput", deviceId: "rear" }];
  window.asked = [];
  mediaDevices.getUserMedia = (wanted) => { window.asked.push(wanted); return open(wanted); };
  MediaStreamTrack.prototype.getSettings = () => ({ facingMode: window.asked.at(-1).video.facingMode });
}"""


def test_the_photo_of_a_drawing_is_painted_while_the_pen_moves(page: Page) -> None:
    open_tab(page, "Draw")
    pad, made = page.locator(".pad"), page.locator(".made")
    empty, nothing = pixels(pad), pixels(made)
    saves = ("Download the photo", "Download the drawing", "Replay as a film", "Replay as a GIF")
    for name in ("Undo", "Redo", "Clear", *saves):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    box = pad.bounding_box()
    assert box
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=8)
    wait_for_change(page, ".made", nothing)  # before the pen is lifted
    page.mouse.up()
    drawn = pixels(pad)
    assert drawn != empty

    page.get_by_role("button", name="Eraser").click()
    expect(page.get_by_role("button", name="Eraser")).to_have_attribute("aria-pressed", "true")
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 100, steps=4)
    page.mouse.up()
    assert pixels(pad) not in (drawn, empty)
    page.get_by_role("button", name="Undo").click()
    assert pixels(pad) == drawn
    pad.press("Control+z")
    assert pixels(pad) == empty

    before = pixels(made)
    page.get_by_role("button", name="Start from the sketch of ben").click()
    wait_for_change(page, ".made", before)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the photo").click()
    with Image.open(download.value.path()) as file:
        assert (file.format, file.size) == ("PNG", (512, 512))
    expect(page.locator(".draw .status")).to_have_text("Saved: drawing-photo.png")
    with page.expect_download(timeout=30_000) as download:
        page.get_by_role("button", name="Replay as a film").click()
    assert download.value.path().stat().st_size > 1000
    name, replay = saved(page, "Replay as a GIF")
    assert (name, replay.format, replay.size) == ("drawing.gif", "GIF", (512, 256))
    assert replay.n_frames > 1  # type: ignore[attr-defined]
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(PAPER)  # not what the model makes of nothing
    assert pixels(pad) == empty
    expect(page.get_by_role("button", name="Download the photo")).to_be_disabled()
    page.get_by_role("button", name="Undo").click()
    choose_embedded_weights(page)
    page.wait_for_function("size => document.querySelector('.made').width === size", arg=EMBEDDED_SIZE)


def test_what_is_traced_lies_over_the_drawing_and_is_not_sent(page: Page, tmp_path: Path) -> None:
    open_tab(page, "Draw")
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    empty = pixels(page.locator(".pad"))
    head, own = (page.get_by_role("button", name=name) for name in ("Trace a head", "Trace a picture"))
    head.press("Enter")
    expect(page.locator("svg.head")).to_be_visible()
    (tmp_path / "page.png").write_text("<html>")
    for file, told in (("page.png", "page.png is not a picture"), ("mine.png", "")):
        if not told:
            picture(3).save(tmp_path / file)
        with page.expect_file_chooser() as chooser:
            own.click()
        chooser.value.set_files(tmp_path / file)
        if told:
            expect(page.locator(".draw .status")).to_contain_text(told)
    expect(page.locator("img.picture")).to_be_visible()
    expect(page.locator("svg.head")).to_be_hidden()
    expect(own).to_have_attribute("aria-pressed", "true")
    own.click()
    expect(page.locator("img.picture")).to_be_hidden()
    assert pixels(page.locator(".pad")) == empty
    assert not sockets


def test_live_follows_the_face_and_gives_a_picture_and_a_clip(page: Page, release: Path) -> None:
    asked: list[str] = []
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.evaluate(TWO_CAMERAS)
    open_tab(page, "Live")
    choose_embedded_weights(page)
    open_tab(page, "Live")
    page.get_by_label("Style").select_option("bold")
    for name in ("Take a picture", "Record 5 seconds"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    page.locator(".stage").get_by_role("button", name="Start the camera").press("Enter")
    expect(page.locator(".oval")).to_have_class(re.compile("fits"), timeout=30_000)
    expect(page.locator(".live .status")).to_have_text("Your face fits.")
    assert "style=bold" in asked[-1]
    side = "parseFloat(document.querySelector('.aim').style.width)"
    page.wait_for_function(f"{side} > 70 && {side} < 99")  # the face is 83 % of the camera's middle square
    page.wait_for_function("size => document.querySelector('.live .made').width === size", arg=EMBEDDED_SIZE)
    with page.expect_download(timeout=30_000) as download:
        page.get_by_role("button", name="Take a picture").click()
        expect(page.locator(".count")).to_have_text(re.compile("[123]"))
    assert download.value.suggested_filename == "live-sketch.png"
    with Image.open(download.value.path()) as file:
        assert file.size == (512, 512)
        assert np.asarray(file.convert("L")).std() > 10, "it shows something"
    expect(page.locator(".live .status")).to_have_text("Saved: live-sketch.png")
    page.get_by_label("To photo").last.click()
    expect(page.get_by_label("Style").last).to_be_hidden()
    with page.expect_download(timeout=30_000) as download:
        page.get_by_role("button", name="Record 5 seconds").click()
    assert re.fullmatch(r"live-photo\.(webm|mp4)", download.value.suggested_filename)
    assert download.value.path().stat().st_size > 1000
    expect(page.get_by_label("Mirror")).to_be_checked()
    page.get_by_role("button", name="Other camera").click()
    page.wait_for_function("window.asked.at(-1).video.facingMode === 'environment'")
    expect(page.get_by_label("Mirror")).not_to_be_checked()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()


def test_the_camera_runs_live_turns_round_and_stops(page: Page) -> None:
    open_tab(page, "Live")
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_function("document.querySelector('.rate').textContent")
    page.evaluate(COUNT)
    page.wait_for_function("window.seen.distinct > 10")  # pictures that differ, not the same one again
    print("live:", page.locator(".rate").inner_text())
    for label in ("To photo", "Mirror"):
        before = pixels(page.locator(".made"))
        page.locator(".tools label", has_text=label).click()
        wait_for_change(page, ".made", before)
    choose_embedded_weights(page)
    page.wait_for_function("size => document.querySelector('.made').width === size", arg=EMBEDDED_SIZE)
    running = "document.querySelector('video').srcObject !== null"
    assert page.evaluate(running)
    page.get_by_role("button", name="Stop").click()
    assert not page.evaluate(running)
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_function(running)
    open_tab(page, "Draw")
    page.wait_for_function(f"!({running})")  # the camera is off when another page is opened


def test_many_pictures_come_back_in_a_zip(page: Page, tmp_path: Path) -> None:
    for number in range(3):
        picture(number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    open_tab(page, "Many pictures")
    page.evaluate(SHIFTS)
    shifted(page)
    upload(page, *(tmp_path / name for name in ("0.jpg", "1.jpg", "2.jpg", "notes.txt")))
    expect(page.get_by_text("notes", exact=False).first).to_be_visible()
    assert shifted(page) <= 0.05
    page.get_by_role("button", name="Convert all").click()
    expect(page.get_by_text("3 of 4 converted.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("notes.txt is not a picture")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_text("Download all (ZIP)").click()
    with ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["0.png", "1.png", "2.png"]


def test_two_visitors_at_once_see_only_their_own(browser: Browser, app_url: str, release: Path, tmp_path: Path) -> None:
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu")
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        visit(page, app_url)
    for turn in range(3):
        for visitor, page in enumerate(pages):
            file = tmp_path / f"{turn}-{visitor}.png"
            picture(10 * turn + visitor, (64, 64)).save(file)
            if turn:
                page.get_by_label("Remove Image").first.click()
                expect(result(page)).to_have_count(0)
            upload(page, file)
        for visitor, page in enumerate(pages):
            expected = pipe.photo_to_sketch(picture(10 * turn + visitor, (64, 64)))
            assert loaded(result(page)).tobytes() == expected.tobytes()
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("name", "viewport", "theme"),
    [("laptop", LAPTOP, "light"), ("phone", PHONE, "dark"), ("small-phone", SMALL_PHONE, "light")],
)
def test_every_page_fits_the_screen_and_names_its_controls(
    browser: Browser, app_url: str, name: str, viewport: dict[str, int], theme: str
) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    with browser.new_context(viewport=viewport, permissions=["camera"]) as context:  # type: ignore[arg-type]
        page = context.new_page()
        visit(page, f"{app_url}?__theme={theme}")
        assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        choose_embedded_weights(page)  # whose pictures can be looked at
        expect(page.get_by_text("SSIM").first).to_be_visible(timeout=30_000)
        for tab in ("Sketch a photo", "Photo from a sketch", "Draw", "Live", "Many pictures"):
            expect(page.get_by_role("tab", name=tab, exact=True)).to_be_visible()
            open_tab(page, tab)
            if "sketch" in tab.lower():
                page.locator("[role=tabpanel]:visible").get_by_role("button", name="ben").click()
                assert loaded(result(page)).size == (EMBEDDED_SIZE, EMBEDDED_SIZE)
                page.locator(".result:visible").get_by_label("Fullscreen").click()
                page.wait_for_function("innerHeight < 1.1 * document.querySelector('.fullscreen img.fixed').height")
                page.keyboard.press("Escape")
                expect(page.locator(".block.fullscreen")).to_have_count(0)
            if tab == "Draw":
                before = pixels(page.locator(".made"))
                page.locator(".starts button").nth(1).click()
                wait_for_change(page, ".made", before)
            if tab == "Live":
                page.get_by_role("button", name="Start the camera").click()
                page.wait_for_function("document.querySelector('.rate').textContent")
            take_screenshot(page, SCREENSHOTS / f"{name}-{tab.lower().replace(' ', '-')}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            if tab in ("Draw", "Live"):
                page.evaluate("scrollTo(0, 0)")
                for square in page.locator("[role=tabpanel]:visible .frame").all():
                    box = square.bounding_box()
                    assert box
                    assert box["y"] + box["height"] <= viewport["height"], "both are in view without scrolling"
            found = Axe().run(page).response["violations"]
            assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
            nameless = """[...document.querySelectorAll('[role=tabpanel] :is(button, input, canvas, video)')]
                .filter((e) => e.offsetParent && !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.title))
                .map((e) => e.outerHTML.slice(0, 200))"""
            assert not page.evaluate(nameless)


@pytest.mark.parametrize(
    ("locale", "tab", "direction"), [("de-AT", "Foto skizzieren", ""), ("ar", "رسم من صورة", "rtl")]
)
def test_the_page_speaks_the_language_of_the_browser(
    browser: Browser, app_url: str, locale: str, tab: str, direction: str
) -> None:
    with browser.new_context(viewport=PHONE, locale=locale) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(app_url)
        expect(page.get_by_role("tab", name=tab)).to_be_visible(timeout=60_000)
        texts = json.loads((ROOT / f"web/texts/{locale[:2]}.json").read_text("utf-8"))
        expect(page.get_by_role("button", name=texts["save"], exact=True).first).to_be_visible()
        assert page.evaluate("document.dir") == direction
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_result_becomes_an_animation_a_page_to_print_and_outlines(page: Page, app_url: str, tmp_path: Path) -> None:
    page.goto(f"{app_url}/#photo_to_sketch")
    choose_embedded_weights(page)
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_role("button", name="anna").click()
    made = loaded(result(page))
    expect(panel.get_by_role("button", name="Save", exact=True)).to_be_enabled()
    name, film = saved(page, "Animation (GIF)")
    assert (name, film.format, film.n_frames) == ("anna-sketch.gif", "GIF", 12)  # type: ignore[attr-defined]
    assert film.info["loop"] == 0
    film.seek(6)
    shown = np.asarray(film.convert("RGB").resize(made.size), float)
    assert np.abs(shown - np.asarray(made, float)).mean() < 8, "half-way it is the sketch"
    for button, start in (("A5 print (PDF)", b"%PDF"), ("Vector drawing (SVG)", b"<?xml")):
        with page.expect_download() as download:
            panel.get_by_role("button", name=button).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start)
    assert content.count(b"<path") > 10
    with page.expect_download() as download:
        panel.get_by_role("button", name="A5 print (PDF)").click()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+)", Path(download.value.path()).read_bytes())
    assert box
    assert [float(side) / 72 * 25.4 for side in box.groups()] == pytest.approx([148, 210], abs=0.1)  # millimetres


def test_lines_get_stronger_and_weaker_at_once_and_are_saved_so(page: Page) -> None:
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_role("button", name="anna").click()
    loaded(result(page))
    expect(panel.get_by_role("button", name="Save", exact=True)).to_be_enabled()

    def grey() -> tuple[float, float]:
        """How light the picture is on the page, right of the line, and in the file."""
        shown = Image.open(io.BytesIO(panel.locator(".result .slider-wrap").first.screenshot())).convert("L")
        half = shown.crop((shown.width // 2 + 30, 60, shown.width // 2 + 130, shown.height - 20))
        return float(np.asarray(half).mean()), float(np.asarray(saved(page, "Save")[1].convert("L")).mean())

    levels = []
    for strength in ("-1", "0", "1"):
        panel.get_by_role("slider", name="Line strength").fill(strength)
        levels.append(grey())
    for weak, own, strong in zip(*levels, strict=True):
        assert weak > own + 1
        assert own > strong + 1


def test_everyone_is_put_back_into_the_picture(page: Page, tmp_path: Path) -> None:
    choose_embedded_weights(page)
    both = Image.new("RGB", (560, 300), "grey")
    for place, name in enumerate(("anna", "felix")):
        both.paste(Image.open(ROOT / f"examples/photos/{name}.webp").resize((240, 240)), (20 + 270 * place, 30))
    both.save(tmp_path / "both.png")
    upload(page, tmp_path / "both.png")
    loaded(result(page))
    page.locator("[role=tabpanel]:visible").get_by_label("Everyone, in the picture").click()
    page.wait_for_function(
        "size => document.querySelector('.slider-wrap img.fixed').naturalWidth === size", arg=both.width
    )
    made = loaded(result(page))
    assert made.size == both.size
    pipe = FaceSketchPipeline.from_pretrained(device="cpu")
    whole = pipe.photo_to_sketch(both, size="own")
    near, far = ([np.asarray(one.crop(box), float) for one in (made, whole)] for box in (FACE, CORNER))
    assert np.abs(near[0] - near[1]).mean() > 4, "the face was converted by itself"
    assert np.abs(far[0] - far[1]).max() <= 1


def test_what_was_made_on_this_visit_is_shown_again_and_forgotten(page: Page) -> None:
    panel = page.locator("[role=tabpanel]:visible")
    made: dict[str, Image.Image] = {}
    for name in ("anna", "ben"):
        source = result(page).get_attribute("src") if made else ""
        panel.get_by_role("button", name=name, exact=True).click()
        expect(result(page)).not_to_have_attribute("src", source or "", timeout=30_000)
        made[name] = loaded(result(page))
        expect(panel.get_by_role("button", name=f"Show {name}-sketch again")).to_be_visible()
    page.reload()
    panel.get_by_role("button", name="Show anna-sketch again").click()
    expect(panel.get_by_role("button", name="Save", exact=True)).to_be_enabled()
    name, image = saved(page, "Save")
    assert name == "anna-sketch.png"
    assert_enlarged(image, made["anna"])
    panel.get_by_role("button", name="And back again").click()
    expect(panel.locator(".again img")).to_have_count(3, timeout=30_000)
    panel.get_by_role("button", name="Clear the list").click()
    expect(panel.get_by_role("button", name=re.compile("again$"))).to_have_count(1)  # "And back again"
    page.reload()
    expect(panel.get_by_role("button", name="And back again")).to_be_visible()
    expect(panel.get_by_role("button", name=re.compile("^Show"))).to_have_count(0)


@pytest.mark.parametrize("tab", ["Sketch a photo", "Photo from a sketch"])
def test_a_surprise_is_another_example_in_another_look(page: Page, tab: str) -> None:
    open_tab(page, tab)
    choose_embedded_weights(page)
    panel = page.locator("[role=tabpanel]:visible")
    sources = {""}
    for _ in range(3):
        panel.get_by_role("button", name="Surprise me").click()
        for source in sources:
            expect(result(page)).not_to_have_attribute("src", source, timeout=30_000)
        loaded(result(page))
        sources.add(result(page).get_attribute("src") or "")
    assert len(sources) == 4
    if tab == "Photo from a sketch":
        panel.get_by_role("button", name=re.compile("and size")).click()
        for part in ("Skin", "Hair", "Background"):
            row = panel.get_by_role("group", name=part)
            expect(row.locator("[aria-pressed=true]")).to_have_count(1)
            expect(row.get_by_role("button", name="Automatic")).to_have_attribute("aria-pressed", "false")


def test_two_releases_are_compared_on_one_picture(page: Page, release: Path) -> None:
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_role("button", name="ben").click()
    loaded(result(page))
    panel.get_by_label("Compare with another release").click()
    page.get_by_role("option", name="embedded weights").click()
    two = panel.locator(".slider-wrap").nth(1).locator("img")
    expect(two).to_have_count(2, timeout=30_000)
    with Image.open(ROOT / "examples/photos/ben.webp") as ben:
        for weights, picture in zip((release, EMBEDDED), (two.nth(0), two.nth(1)), strict=True):
            pipe = FaceSketchPipeline.from_pretrained(weights, device="cpu")
            wanted = pipe.photo_to_sketch(ben.convert("RGB"), "face")
            assert np.abs(np.asarray(loaded(picture), float) - np.asarray(wanted, float)).mean() < 1
    panel.get_by_role("button", name="anna").click()
    expect(panel.locator(".slider-wrap")).to_have_count(1, timeout=30_000)  # it was for the picture before


def test_a_link_to_the_app_shows_its_own_picture(app_url: str) -> None:
    page = httpx.get(app_url, headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "faces.example"}).text
    tags = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]+)"\s+content="([^"]*)"', page))
    assert tags["og:title"] == "Face photo ↔ sketch"
    assert "sketch" in tags["og:description"]
    assert tags["og:image"] == "https://faces.example/examples/preview.jpg"
    assert not any("Gradio" in value or "gradio" in value for value in tags.values())
    assert len(re.findall('og:image"', page)) == 1, "the first one counts"
    with Image.open(io.BytesIO(httpx.get(f"{app_url}/examples/preview.jpg").content)) as image:
        assert f"{image.width} x {image.height}" == f"{tags['og:image:width']} x {tags['og:image:height']}"


def test_the_first_language_that_there_are_texts_of_is_spoken_throughout(browser: Browser, app_url: str) -> None:
    with browser.new_context(viewport=PHONE) as context:  # type: ignore[arg-type]
        context.add_init_script(
            "Object.defineProperty(Navigator.prototype, 'languages', { value: ['fr-FR', 'de-CH', 'es'] });"
        )
        page = context.new_page()
        page.goto(app_url)
        expect(page.get_by_role("tab", name="Foto skizzieren")).to_be_visible(timeout=60_000)  # Gradio's own part
        expect(page.get_by_role("button", name="Speichern", exact=True).first).to_be_visible()  # the project's
        assert page.evaluate("document.documentElement.lang") == "de"
