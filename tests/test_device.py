"""The page that needs no server, exported and opened in a real browser."""

import base64
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, command, picture
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from test_faces import scene
from test_prepare import SPOILED, image_of
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks.browser import Server, serving
from benchmarks.live import film, find_chromium
from cyclegan import FaceSketchPipeline
from cyclegan.engines.build import EngineError, run_onnxruntime
from cyclegan.engines.onnx import sample
from cyclegan.engines.web import ABOUT, export_web, fetch_runtime, tensors
from cyclegan.engines.webgpu import write_graph
from cyclegan.faces import SEARCHED, WEIGHTS, cut, find_faces, fit_size, fit_square, frame, load_finder
from cyclegan.images import normalise, to_tensor
from cyclegan.networks import Generator, take_forms
from cyclegan.palette import read_palette
from cyclegan.space.conversion import paste, sheet

CHROMIUM = find_chromium()
DIRECTIONS = ("photo_to_sketch", "sketch_to_photo")
SCREENSHOTS = ROOT / "screenshots"
PATIENCE = 90_000  # milliseconds for a picture: on a busy machine the runtime takes long to start
TEXTS = json.loads((ROOT / "web/texts/en.json").read_text(encoding="utf-8"))
Change = Callable[[bytes], bytes]


GENERATORS = {
    "compact": Generator(5, 2, upsample="resize", compact=True, grey=True, conditions=3),
    "zero": Generator(4, 1, padding="zero", upsample="resize", compact=True),
    "paper": Generator(6, 1),
    "paper-zero": Generator(4, 1, padding="zero"),
    "paper-resize": Generator(4, 0, upsample="resize"),
}
SHAPES = ((32, 32), (96, 64), (40, 64), (56, 88), (16, 16))


for generator in GENERATORS.values():
    noise = torch.Generator().manual_seed(0)
    for weight in generator.eval().parameters():
        weight.data = (0.1 * torch.randn(weight.shape, generator=noise)).half().float()  # as it is stored


@pytest.mark.parametrize("name", GENERATORS)
def test_a_graph_for_webgpu_is_its_generator(tmp_path: Path, name: str) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(tensors(GENERATORS[name]))
    write_graph(GENERATORS[name], tmp_path / "graph.onnx", weights)
    engine = run_onnxruntime(tmp_path / "graph.onnx")
    for height, width in SHAPES:
        pictures = sample(1, 128)[..., :height, :width].contiguous()
        with torch.inference_mode():
            assert (engine(pictures) - GENERATORS[name](pictures)).abs().max() < 1e-4


@pytest.mark.parametrize("name", GENERATORS)
@torch.inference_mode()
def test_a_graph_for_large_pictures_is_its_generator(tmp_path: Path, name: str) -> None:
    generator, path, weights = GENERATORS[name], tmp_path / "graph.onnx", tmp_path / "weights"
    weights.write_bytes(tensors(generator))
    write_graph(generator, path, weights, large=True)
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    for shape in SHAPES:
        picture, half = large(shape)
        feeds = {"picture": picture.numpy(), "half": half.numpy()}
        if generator.conditions:
            feeds["condition"] = np.zeros((1, generator.conditions), np.float32)
        results = session.run(["result", "half_result"], feeds)
        made, small = (torch.from_numpy(one) for one in results)
        assert (small - generator(half)).abs().max() < 1e-4
        assert (take_forms(made, small) - generator(picture, large=True)).abs().max() < 1e-4


def large(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A picture of twice a shape, and its half."""
    height, width = shape
    picture = sample(1, 256)[..., : 2 * height, : 2 * width].contiguous()
    return picture, avg_pool2d(picture, 2)


# A worker computes networks on several threads: each has a file of safetensors and pictures, the numbers as base64
CREW = """async ({ threads, fused, networks }) => {
  const code = `
    import { Crew } from "${new URL("modules/crew.js", location)}";
    const { validate } = WebAssembly;
    const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
    const encode = (values) => new FileReaderSync().readAsDataURL(new Blob([values])).split(",")[1];
    self.onmessage = async ({ data: { threads, fused, networks } }) => {
      let times = 0; // without relaxed SIMD the first of two programs is not valid
      if (!fused) WebAssembly.validate = (bytes) => times++ > 0 && validate(bytes);
      const crew = await Crew.start(threads);
      const loaded = networks.map(({ file, about }) => crew.load(decode(file), about));
      postMessage(networks.map(({ tasks }, at) => tasks.map(({ values, shapes, condition }) =>
        crew.run(loaded[at], values.map((one) => new Float32Array(decode(one))), shapes, condition)
          .map(({ data }) => encode(data)))));
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
  worker.postMessage({ threads, fused, networks });
  return new Promise((done, failed) => {
    worker.onmessage = ({ data }) => done(data);
    worker.onerror = ({ message }) => failed(new Error(message));
  });
}"""


def encode(content: Any) -> str:
    return base64.b64encode(content).decode()


def tasks(inputs: list[list[Tensor]], condition: list[float] | None = None) -> list[dict[str, Any]]:
    """What the crew is given: for each task a picture, or a large one's half and then itself."""
    return [
        {
            "values": [encode(one.numpy()) for one in pictures],
            "shapes": [one.shape[2:] for one in pictures],
            "condition": condition,
        }
        for pictures in inputs
    ]


@pytest.mark.parametrize(("threads", "fused"), [(1, True), (3, True), (1, False)], ids=["one", "three", "unfused"])
@torch.inference_mode()
def test_the_threads_of_the_page_compute_what_torch_does(
    browser: Browser, isolated: Server, threads: int, fused: bool
) -> None:
    networks, wanted = [], []
    for generator in GENERATORS.values():
        given = [0.5, 0, -1] if generator.conditions else None
        condition = given and torch.tensor([given])
        pictures = [sample(1, 128)[..., :height, :width].contiguous() for height, width in SHAPES]
        inputs = [[one] for one in pictures] + [[*reversed(large(shape))] for shape in SHAPES]
        about = {name: getattr(generator, name) for name in ABOUT}
        networks.append({"file": encode(tensors(generator)), "about": about, "tasks": tasks(inputs, given)})
        wanted.append([[generator(one, condition)] for one in pictures])
        wanted[-1] += [
            [generator(half, condition), generator(one, condition, True)] for half, one in inputs[len(SHAPES) :]
        ]
    searched = torch.randn(1, 1, SEARCHED, SEARCHED, generator=torch.Generator().manual_seed(0))
    networks.append({"file": encode(WEIGHTS.read_bytes()), "tasks": tasks([[searched]])})
    wanted.append([[load_finder()(searched)]])
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.goto(f"{isolated.url}release.json")
        made = page.evaluate(CREW, {"threads": threads, "fused": fused, "networks": networks})
    for network, truths in zip(made, wanted, strict=True):
        for texts, truth in zip(network, truths, strict=True):
            decoded = (np.frombuffer(bytearray(base64.b64decode(text)), np.float32) for text in texts)
            found = [torch.from_numpy(values).view_as(true) for values, true in zip(decoded, truth, strict=True)]
            if len(found) == 2:
                found[1] = take_forms(found[1], found[0])
            for one, true in zip(found, truth, strict=True):
                assert (one - true).abs().max() < 1e-4


@pytest.fixture(scope="module")
def site(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder of the tiny release."""
    out = tmp_path_factory.mktemp("site") / "out"
    try:
        fetch_runtime()
    except EngineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    result = command("export", "--weights", release, "--format", "web", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "photo_to_sketch differs from torch by" in result.stdout
    return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip("There is no Chromium: install one, or set CHROMIUM to its path.")
    flags = [
        *film(tmp_path_factory.mktemp("camera") / "face.mjpeg"),
        "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    ]  # fmt: skip
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=flags) as browser:
        yield browser


@pytest.fixture
def plain(site: Path) -> Iterator[Server]:
    with serving(site, isolated=False) as server:
        yield server


@pytest.fixture
def isolated(site: Path) -> Iterator[Server]:
    with serving(site) as server:
        yield server


@contextmanager
def ready_context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"]) as context:
        context.add_init_script("Object.defineProperty(navigator, 'gpu', { value: undefined })")  # it has its own test
        context.add_init_script("localStorage.size = 32")  # on a busy machine the page would choose a smaller one
        yield context


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with ready_context(browser) as context:
        yield context


def visit(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("tab", name="To sketch")).to_be_visible()
    return page


def ready(page: Page) -> None:
    expect(page.locator("html")).to_have_attribute("data-ready", "measured", timeout=60_000)


@contextmanager
def converting(page: Page, direction: str) -> Iterator[None]:
    """Wait until what is done meanwhile has made a picture."""
    panel = page.locator(f"#{direction}")
    before = int(panel.get_attribute("data-count") or 0)
    yield
    expect(panel).to_have_attribute("data-count", str(before + 1), timeout=PATIENCE)


def give(page: Page, direction: str, file: Path) -> Image.Image:
    page.get_by_role("tab", name="To sketch" if direction == "photo_to_sketch" else "To photo").click()
    with converting(page, direction):
        page.locator(f"#{direction} input[type=file]").first.set_input_files(file)
    return pixels(page, f"#{direction} canvas.made")


def pixels(page: Page, canvas: str) -> Image.Image:
    url = page.locator(canvas).evaluate("canvas => canvas.toDataURL()")
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean() / 127.5)


@pytest.mark.parametrize("host", ["plain", "isolated"])
def test_both_ways_are_converted_as_in_python(
    request: pytest.FixtureRequest, context: BrowserContext, release: Path, tmp_path: Path, host: str
) -> None:
    server: Server = request.getfixturevalue(host)
    pipe: Any = FaceSketchPipeline.from_pretrained(release, device="cpu")
    for side in (32, 64):  # the working size, and twice that
        mine = picture(3, (side, side))
        mine.save(tmp_path / "mine.png")
        page = visit(context, server.url)
        page.locator("select.size").select_option(str(side))
        for direction in DIRECTIONS:
            made = give(page, direction, tmp_path / "mine.png")
            with pytest.warns(UserWarning, match="No face"):
                assert difference(made, getattr(pipe, direction)(mine, framing="face", size=side)) < 0.005
    threads = page.locator("select.engine option").all_inner_texts()
    assert len(threads) == (2 if host == "isolated" and (os.cpu_count() or 1) > 1 else 1)
    page.locator("#sketch_to_photo .back").click()
    expect(page.locator("#sketch_to_photo .again canvas")).to_have_count(3)


@pytest.fixture(scope="module")
def embedded(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Any]]:
    """The embedded weights, served as a page, and as a pipeline."""
    pipe = FaceSketchPipeline.from_pretrained(device="cpu")
    out = tmp_path_factory.mktemp("embedded") / "out"
    export_web(pipe, out)
    with serving(out) as server:
        yield server, pipe


@pytest.fixture(scope="module")
def opened(browser: Browser, site: Path, embedded: tuple[Server, Any]) -> Iterator[tuple[Page, Page]]:
    """The pages of the tiny release, without threads, and of the embedded weights. Their runtimes start once."""
    with serving(site, isolated=False) as tiny, ready_context(browser) as context, ready_context(browser) as other:
        yield visit(context, tiny.url), visit(other, embedded[0].url)


# As a visitor finds it, but for the pictures
RESET = """size => {
  document.querySelector("select.size").value = size;
  for (const choice of document.querySelectorAll(".framing")) choice.value = "face";
  for (const choice of document.querySelectorAll(".controls select")) choice.value = "";
  for (const given of document.querySelectorAll(".controls input[type=checkbox]")) given.checked = false;
}"""


@pytest.fixture
def small_page(opened: tuple[Page, Page]) -> Page:
    opened[0].evaluate(RESET, 32)
    return opened[0]


@pytest.fixture
def studio(opened: tuple[Page, Page], embedded: tuple[Server, Any]) -> tuple[Page, Any]:
    """The page of the embedded weights, and their pipeline."""
    opened[1].evaluate(RESET, 256)
    return opened[1], embedded[1]


SQUARE = """box => {
  const given = box.parentElement.querySelector('canvas.given');
  const canvas = given.getBoundingClientRect();
  const scale = Math.min(canvas.width / given.width, canvas.height / given.height);
  const [left, top] = [(canvas.width - given.width * scale) / 2, (canvas.height - given.height * scale) / 2];
  const shown = box.getBoundingClientRect();
  return [shown.left - canvas.left - left, shown.top - canvas.top - top, shown.width].map((length) => length / scale);
}"""


STEPS = """async ({ kind, pixels, sides, settings }) => {
  const tools = await import(new URL("modules/pixels.js", location));
  const given = tools.picture(...sides, Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0)));
  const reader = new FileReader();
  reader.readAsDataURL(new Blob([tools[kind](given, ...settings.map((one) => tools[one] ?? one)).data]));
  await new Promise((done) => { reader.onload = done; });
  return reader.result.split(",")[1];
}"""


def test_pictures_are_resized_cut_and_blurred_to_the_byte_as_by_pillow(plain: Server, browser: Browser) -> None:
    """A square of whole pixels is the server's only if what the face finder is given is the server's too."""
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.goto(f"{plain.url}release.json")
        noise = np.random.default_rng(0).integers(0, 256, (250, 151, 3), dtype=np.uint8)
        for mode, image in ((mode, Image.fromarray(noise).convert(mode)) for mode in ("RGB", "L")):
            bilinear, bicubic, box = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX
            steps: list[tuple[str, list[Any], Image.Image]] = [
                ("resize", [20, 33, "LINEAR", 2], image.resize((20, 33), bilinear, reducing_gap=2)),
                ("resize", [15, 20, "CUBIC", 3], image.resize((15, 20), bicubic, reducing_gap=3)),
                ("resize", [45, 45, "BOX", 2], image.resize((45, 45), box, reducing_gap=2)),
                ("cut", [60, 165, 105, 0, 48], cut(image, 60, 165, 105, 0, 48)),
                ("cut", [75.3, 100.7, 130, 23.4, 48], cut(image, 75.3, 100.7, 130, 23.4, 48)),
                ("cut", [15, 20, 45, -41, 64], cut(image, 15, 20, 45, -41, 64)),  # over the edge, and larger
                *(("blur", [sigma], image.filter(ImageFilter.GaussianBlur(sigma))) for sigma in (0.8, 2, 7.3)),
            ]
            for kind, settings, wanted in steps:
                given = base64.b64encode(image.tobytes()).decode()
                sides = [*image.size, len(image.getbands())]
                task = {"kind": kind, "pixels": given, "sides": sides, "settings": settings}
                assert base64.b64decode(page.evaluate(STEPS, task)) == wanted.tobytes(), (mode, kind, settings)


SIZES = """async ([sides, sizes]) => {
  const { frame } = await import(new URL("modules/faces.js", location));
  const { picture } = await import(new URL("modules/pixels.js", location));
  const pictures = sides.map((side) => picture(side, side + 7, 3));
  const framed = await Promise.all(pictures.flatMap((one, at) =>
    ["whole", [{ square: [0, 0, sides[at]] }]].map((framing) => frame(one, framing, sizes))));
  return framed.map(({ frames }) => frames[0].image.width);
}"""


def test_of_several_sizes_a_face_gets_the_same_one_as_in_python(plain: Server, browser: Browser) -> None:
    sides, sizes = [100, 256, 341, 342, 455, 456, 700], (256, 384, 512)
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.goto(f"{plain.url}release.json")
        made = page.evaluate(SIZES, [sides, sizes])
    assert made == [fit_size(sizes, side) for side in sides for _ in range(2)]


def test_a_face_is_framed_drawn_and_coloured_as_in_python(studio: tuple[Page, Any], tmp_path: Path) -> None:
    page, pipe = studio
    panel = page.locator("#photo_to_sketch")
    dark = scene(("photos/grace", 300, (450, 400), 25)).point(lambda value: value // 6)
    tilted = scene(("photos/david", 280, (640, 420), 12)).resize((1418, 705))  # not all tiles of its graph are whole
    close = Image.open(ROOT / "examples/photos/ben.webp").convert("RGB").resize((900, 900)).crop((90, 90, 830, 830))
    for image in (scene(("photos/ben", 300, (850, 450), 0)), tilted, close, dark):
        image.save(tmp_path / "scene.png")
        made = give(page, "photo_to_sketch", tmp_path / "scene.png")
        assert difference(made, pipe.photo_to_sketch(image, framing="face")) < 0.003
        face = find_faces(image)[0]
        square = page.evaluate("app.tabs.photo_to_sketch.square.value")
        assert square == list(fit_square(image.size, face.x, face.y, face.side))
        expect(page.locator(".status")).to_have_text(TEXTS["ready_sketch"])
    shown = panel.locator(".square").evaluate(SQUARE)
    assert shown == pytest.approx(square, abs=2)
    style = pipe.styles[-1]
    with converting(page, "photo_to_sketch"):
        panel.get_by_label(TEXTS["style"]).select_option(label=style)
    styled = pixels(page, "#photo_to_sketch canvas.made")
    assert difference(styled, pipe.photo_to_sketch(dark, framing="face", style=style)) < 0.003
    assert difference(styled, made) > 0.01
    with converting(page, "photo_to_sketch"):
        panel.locator(".framing").select_option("whole")
    whole = pixels(page, "#photo_to_sketch canvas.made")
    assert difference(whole, pipe.photo_to_sketch(dark, style=style)) < 0.003

    kraft = image_of(SPOILED["kraft"]).resize((300, 300))
    kraft.save(tmp_path / "kraft.png")
    made = give(page, "sketch_to_photo", tmp_path / "kraft.png")
    assert difference(made, pipe.sketch_to_photo(kraft, framing="face")) < 0.003
    panel = page.locator("#sketch_to_photo")
    with converting(page, "sketch_to_photo"):
        panel.get_by_label(TEXTS["skin"]).last.fill("#402010")
    coloured = pixels(page, "#sketch_to_photo canvas.made")
    assert difference(coloured, pipe.sketch_to_photo(kraft, framing="face", skin="#402010")) < 0.003
    assert difference(coloured, made) > 0.02


def test_everyone_comes_on_one_sheet_or_in_the_picture_as_in_the_app(studio: tuple[Page, Any], tmp_path: Path) -> None:
    page, pipe = studio
    page.evaluate(RESET, 128)
    two = scene(("photos/ben", 300, (300, 450), 0), ("photos/grace", 360, (850, 400), 20)).resize((480, 320))
    two.save(tmp_path / "two.png")
    give(page, "photo_to_sketch", tmp_path / "two.png")
    with converting(page, "photo_to_sketch"):
        page.locator("#photo_to_sketch .framing").select_option(label=TEXTS["faces"])
    made = pixels(page, "#photo_to_sketch canvas.made")
    wanted = pipe.photo_to_sketch(two, framing="faces", size=128)
    assert len(wanted) == 2
    assert difference(made, sheet(wanted)) < 0.003
    with converting(page, "photo_to_sketch"):
        page.locator("#photo_to_sketch .framing").select_option(label=TEXTS["pasted"])
    frames = frame(two, "faces", 128)
    ground = pipe.photo_to_sketch(two, size="own").resize(two.size)
    assert difference(pixels(page, "#photo_to_sketch canvas.made"), paste(ground, frames, wanted)) < 0.003
    assert difference(pixels(page, "#photo_to_sketch canvas.before"), two) == 0


PALETTE = """async ({ pixels, side }) => {
  const { readPalette } = await import(new URL("modules/palette.js", location));
  const data = Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0));
  return readPalette({ width: side, height: side, data });
}"""


def test_colours_are_read_from_a_photo_as_in_python(
    studio: tuple[Page, Any], embedded: tuple[Server, Any], browser: Browser, tmp_path: Path
) -> None:
    shown, pipe = studio
    photos = [Image.open(ROOT / f"examples/photos/{name}.webp").convert("RGB") for name in ("ben", "grace", "david")]
    pictures = [photos[0].resize((200, 200)), photos[1].resize((50, 50)), Image.new("RGB", (64, 64), "#804020")]
    with browser.new_context(bypass_csp=True) as bare:
        page = bare.new_page()
        page.goto(f"{embedded[0].url}release.json")
        for photo in pictures:
            task = {"pixels": base64.b64encode(photo.tobytes()).decode(), "side": photo.width}
            wanted = read_palette(normalise(to_tensor(photo))[None]).flatten().tolist()
            assert page.evaluate(PALETTE, task) == pytest.approx(wanted, abs=1e-4)
    drawing = Image.open(ROOT / "examples/sketches/ben.webp").convert("RGB")
    drawing.save(tmp_path / "drawing.png")
    photos[2].save(tmp_path / "like.png")
    give(shown, "sketch_to_photo", tmp_path / "drawing.png")
    panel = shown.locator("#sketch_to_photo")
    with converting(shown, "sketch_to_photo"):
        panel.locator("input.like").set_input_files(tmp_path / "like.png")
    made = pixels(shown, "#sketch_to_photo canvas.made")
    assert difference(made, pipe.sketch_to_photo(drawing, framing="face", like=photos[2])) < 0.003
    with converting(shown, "sketch_to_photo"):
        panel.get_by_label(TEXTS["hair"]).last.fill("#d9b36c")  # a colour that is chosen comes first
    made = pixels(shown, "#sketch_to_photo canvas.made")
    wanted = pipe.sketch_to_photo(drawing, framing="face", like=photos[2], hair="#d9b36c")
    assert difference(made, wanted) < 0.003
    plain_photo = pipe.sketch_to_photo(drawing, framing="face")
    assert difference(made, plain_photo) > 0.02
    with converting(shown, "sketch_to_photo"):
        panel.get_by_role("button", name=TEXTS["automatic"]).click()
    with converting(shown, "sketch_to_photo"):
        panel.get_by_label(TEXTS["hair"]).first.uncheck()
    assert difference(pixels(shown, "#sketch_to_photo canvas.made"), plain_photo) < 0.003


def test_no_face_and_nothing_in_a_picture_are_said(small_page: Page, tmp_path: Path) -> None:
    page = small_page
    told = page.locator("#photo_to_sketch .told")
    for image, key in ((picture(3, (90, 60)), "no_face"), (Image.new("RGB", (90, 60)), "blank")):
        image.save(tmp_path / "mine.png")
        made = give(page, "photo_to_sketch", tmp_path / "mine.png")
        expect(told).to_have_text(TEXTS[key])
        expect(page.locator(".status")).to_have_text(TEXTS[key])
    assert made.getextrema() == ((255, 255),) * 3
    expect(page.locator("#photo_to_sketch .square")).to_be_visible()


def test_a_slow_device_is_told_and_makes_smaller_pictures(plain: Server, browser: Browser, tmp_path: Path) -> None:
    plain.changes["worker.js"] = lambda content: content.replace(
        b"milliseconds: performance.now() - since", b"milliseconds: 2000"
    )
    picture(3, (32, 32)).save(tmp_path / "mine.png")
    with browser.new_context() as context:
        page = visit(context, plain.url)
        give(page, "photo_to_sketch", tmp_path / "mine.png")
        expect(page.locator(".status")).to_contain_text("16 \N{MULTIPLICATION SIGN} 16")
        assert give(page, "photo_to_sketch", tmp_path / "mine.png").size == (16, 16)


def test_a_stroke_on_a_good_drawing_does_not_wait_until_it_is_prepared(plain: Server, context: BrowserContext) -> None:
    page = visit(context, plain.url)
    page.get_by_role("tab", name="Draw").click()
    page.evaluate(
        """() => {
          window.asked = [];
          const convert = app.convert.bind(app);
          app.convert = (...given) => { asked.push(given[2].prepared); return convert(...given); };
        }"""
    )
    page.locator(".brush").fill("40")
    assert prepared_of_stroke(page, 0) == [False, False]  # one dot is pale, and is made darker
    page.locator("#draw .starts button").first.click()
    expect(page.locator("#draw .made")).to_have_attribute("data-count", "3", timeout=PATIENCE)
    assert prepared_of_stroke(page, 3) == [True, False]
    page.locator(".eraser").click()  # what is left may be nothing
    assert prepared_of_stroke(page, 5) == [False, False]


def prepared_of_stroke(page: Page, count: int) -> list[bool]:
    """Whether it was taken for prepared when the pen came down, and when it was lifted, after so many pictures."""
    page.locator(".pad").scroll_into_view_if_needed()
    box = page.locator(".pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.evaluate("window.asked = []")
    for step, act in enumerate((page.mouse.down, page.mouse.up), 1):
        act()
        expect(page.locator(".made:visible")).to_have_attribute("data-count", str(count + step), timeout=PATIENCE)
        page.wait_for_function(f"asked.length === {step}")
    return list(page.evaluate("asked"))


def test_nothing_leaves_the_device_and_the_page_works_offline(
    plain: Server, context: BrowserContext, tmp_path: Path
) -> None:
    foreign: list[str] = []
    context.on(
        "request", lambda sent: None if sent.url.startswith((plain.url, "blob:", "data:")) else foreign.append(sent.url)
    )
    picture(3, (32, 32)).save(tmp_path / "mine.png")
    page = visit(context, plain.url)
    first = give(page, "photo_to_sketch", tmp_path / "mine.png")
    ready(page)
    page.evaluate("async () => { await navigator.serviceWorker.ready }")
    plain.asked.clear()
    for direction in DIRECTIONS:
        give(page, direction, tmp_path / "mine.png")
    page.get_by_role("tab", name="Draw").click()
    page.locator("#draw .starts button").first.click()
    expect(page.locator("#draw .made")).to_have_attribute("data-count", "1")
    assert set(plain.asked) <= {"/sw.js"}  # by which the browser sees, when it likes, whether the page is the newest

    context.set_offline(True)
    page.reload()
    assert give(page, "photo_to_sketch", tmp_path / "mine.png").tobytes() == first.tobytes()
    assert give(page, "sketch_to_photo", tmp_path / "mine.png")
    assert not foreign


def test_a_picture_is_framed_saved_and_sent_on(small_page: Page, release: Path, tmp_path: Path) -> None:
    wide = picture(3, (64, 32))
    wide.save(tmp_path / "wide.png")
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu")
    page = small_page
    made = give(page, "photo_to_sketch", tmp_path / "wide.png")
    assert difference(made, pipe.photo_to_sketch(wide.crop((16, 0, 48, 32)))) < 0.004
    panel = page.locator("#photo_to_sketch")
    square = panel.get_by_role("group", name="Part to convert")
    square.focus()
    for _ in range(40):
        square.press("ArrowLeft")
    expect(panel.locator(".framing")).to_have_value("own")
    page.wait_for_timeout(300)
    left = pipe.photo_to_sketch(wide.crop((0, 0, 32, 32)))
    assert difference(pixels(page, "#photo_to_sketch canvas.made"), left) < 0.004
    with page.expect_download() as download:
        panel.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "wide-sketch.png"
    assert difference(Image.open(download.value.path()).convert("RGB"), left) < 0.004
    panel.locator(".framing").select_option("whole")
    page.wait_for_timeout(300)
    assert pixels(page, "#photo_to_sketch canvas.made").size == (64, 32)
    with converting(page, "sketch_to_photo"):
        panel.get_by_role("button", name="Turn this sketch into a photo").click()


CAMERA_ERRORS = [
    ("NotAllowedError", "NotAllowedError"), ("NotFoundError", "NotFoundError"), ("NotReadableError", "no_camera"),
]  # fmt: skip
REFUSE = "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name)); }"
COUNT_FRAMES = "() => { window.frames_made = new Set([document.querySelector('#live .made').dataset.delay]); }"
MORE_FRAMES = "() => window.frames_made.add(document.querySelector('#live .made').dataset.delay).size > 3"


def test_the_camera_runs_on_when_another_engine_is_taken(isolated: Server, context: BrowserContext) -> None:
    context.add_init_script("localStorage['engine-chosen'] ??= '\"wasm-1\"'")
    page = visit(context, isolated.url)
    engines = page.locator("select.engine option").evaluate_all("options => options.map((option) => option.value)")
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator(".rate")).to_contain_text("a second", timeout=PATIENCE)
    page.locator("select.engine").select_option(engines[0])
    page.evaluate(COUNT_FRAMES)
    page.wait_for_function(MORE_FRAMES, timeout=PATIENCE)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status")).to_be_empty()


def test_the_camera_runs_or_says_why_not_and_several_pictures_come_in_a_zip(small_page: Page, tmp_path: Path) -> None:
    page = small_page
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator(".rate")).to_contain_text("a second", timeout=PATIENCE)
    page.get_by_role("button", name="Stop").click()
    for error, key in CAMERA_ERRORS:
        page.evaluate(
            "name => navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name))", error
        )
        page.get_by_role("button", name="Start the camera").click()
        expect(page.locator(".status")).to_have_text(TEXTS[key])
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    page.get_by_role("tab", name="Many pictures").click()
    page.locator("#batch input[type=file]").set_input_files(
        [tmp_path / name for name in ("0.jpg", "1.jpg", "notes.txt")]
    )
    expect(page.get_by_text("2 of 3 converted.")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("notes.txt is not a picture")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all (ZIP)").click()
    with ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["0.png", "1.png"]
        assert Image.open(archive.open("1.png")).size == (32, 32)


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("models/photo", lambda content: content[:-100], "A file did not arrive whole"),
        ("models/photo", lambda content: content[:-1] + b"x", "A file is not the one that belongs to this page"),
        ("worker.js", lambda content: b"delete globalThis.WebAssembly;" + content, "cannot run WebAssembly"),
        ("worker.js", lambda content: b"delete globalThis.DecompressionStream;" + content, "This browser is too old"),
        ("memory.js", lambda content: content.replace(b"grow(missing)", b"grow(1e6)"), "There is not enough memory"),
    ],
    ids=["cut-model", "hash", "no-wasm", "old", "memory"],
)
def test_what_goes_wrong_is_a_sentence(
    plain: Server, context: BrowserContext, file: str, change: Change, sentence: str
) -> None:
    plain.changes[file] = change
    page = visit(context, plain.url)
    expect(page.locator(".status")).to_contain_text(sentence, timeout=PATIENCE)
    if file == "models/photo":  # once the file is right, the page goes on
        plain.changes.clear()
        page.locator("#photo_to_sketch .starts button").first.click()
        expect(page.locator("#photo_to_sketch")).to_have_attribute("data-count", "1", timeout=PATIENCE)


def test_one_thread_computes_alone_where_the_others_do_not_start(
    isolated: Server, context: BrowserContext, tmp_path: Path
) -> None:
    isolated.changes["helper.js"] = lambda _: b"throw new Error('no threads here');"
    picture(3, (32, 32)).save(tmp_path / "mine.png")
    assert give(visit(context, isolated.url), "photo_to_sketch", tmp_path / "mine.png").size == (32, 32)


def test_the_page_fits_the_screen_and_is_accessible(small_page: Page) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page = small_page
    for tab in page.get_by_role("tab").all():
        tab.click()
        name = tab.get_attribute("data-tab") or ""
        if name in DIRECTIONS:
            with converting(page, name):
                page.locator(f"#{name} .starts button").nth(1).click()
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                page.screenshot(path=SCREENSHOTS / f"device-{width}-{name}-{theme}.png", full_page=True)
                found = Axe().run(page).response["violations"]
                assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            box = tab.bounding_box()
            assert box
            assert box["x"] + box["width"] <= width
            nameless = """[...document.querySelectorAll(':is(button, input, select, canvas, video)')]
                .filter((e) => e.offsetParent && !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.title))
                .map((e) => e.outerHTML.slice(0, 200))"""
            assert not page.evaluate(nameless)
            small = """[...document.querySelectorAll(':is(button, select, input:not([type=file]), label:has(input))')]
                .filter((e) => e.offsetParent && Math.min(e.offsetWidth, e.offsetHeight) < 44 && !e.closest('label'))
                .map((e) => e.outerHTML.slice(0, 200))"""
            assert not page.evaluate(small)


@pytest.mark.parametrize("language", sorted(file.stem for file in (ROOT / "web/texts").glob("*.json")))
def test_every_language_fits_a_phone_and_runs_its_way(browser: Browser, plain: Server, language: str) -> None:
    texts = json.loads((ROOT / f"web/texts/{language}.json").read_text(encoding="utf-8"))
    with browser.new_context(viewport={"width": 360, "height": 740}, locale=language) as context:
        page = context.new_page()
        right_to_left = texts.get("dir") == "rtl"
        if not right_to_left:  # nothing is converted
            plain.changes["worker.js"] = lambda _: b""
        page.goto(plain.url)
        tabs = page.get_by_role("tab")
        expect(tabs.first).to_have_text(texts["photo_to_sketch"])
        expect(page.locator("html")).to_have_attribute("dir", "rtl" if right_to_left else "ltr")
        for tab in tabs.all():
            box = tab.bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        tabs.first.press("ArrowLeft" if right_to_left else "ArrowRight")  # to the one beside it
        expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
        if right_to_left:  # the line between before and after is where the slider is
            tabs.first.click()
            page.locator("#photo_to_sketch .starts button").first.click()
            split = page.locator("#photo_to_sketch .split")
            expect(split).to_be_visible(timeout=PATIENCE)
            box = split.bounding_box()
            assert box
            page.screenshot(path=SCREENSHOTS / f"device-360-{language}.png")
            split.click(position={"x": 0.1 * box["width"], "y": box["height"] / 2})
            assert int(split.input_value()) < 20


def test_the_folder_says_what_is_in_it(site: Path) -> None:
    manifest = json.loads((site / "release.json").read_text())
    assert list(manifest["directions"]) == list(DIRECTIONS)
    assert manifest["sizes"] == [16, 32, 48, 64]
    assert (site / "LICENSE").read_text().count("Permission is hereby granted") == 2
    assert "Microsoft" in (site / "LICENSE").read_text()
    listed = (site / "sw.js").read_text().split("FILES = ")[1].split(";\n")[0]
    assert set(json.loads(listed)) >= {"./", "release.json", "modules/worker.js", "texts/en.json", "icon.svg"}
    for name in json.loads(listed)[1:]:
        assert (site / name).is_file(), name


def test_a_folder_that_is_no_runtime_is_a_sentence(tmp_path: Path, release: Path) -> None:
    out = tmp_path / "out"
    result = command("export", "--weights", release, "--format", "web", "--out", out, "--runtime", tmp_path)
    assert result.returncode == 1
    assert "--runtime must be the dist folder of onnxruntime-web" in result.stderr
    assert not (tmp_path / "out").exists()


WRONG = b"""export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { data, dims, dispose() {} }); } }
export const InferenceSession = { create() { return { run: async ({ picture }) => ({ result: picture }) }; } };"""


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_webgpu_is_compared_with_webassembly_before_it_may_be_taken(
    browser: Browser, plain: Server, wrong: bool
) -> None:
    if wrong:
        plain.changes["ort.webgpu"] = lambda _: WRONG
    with browser.new_context() as context:
        page = visit(context, plain.url)
        if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("This Chromium has no WebGPU, not even SwiftShader's.")
        page.locator("#photo_to_sketch .starts button").first.click()
        expect(page.locator("html")).to_have_attribute("data-ready", "measured", timeout=120_000)
        times = page.evaluate("JSON.parse(localStorage.engine).times")
        assert set(times) == ({"wasm-1"} if wrong else {"wasm-1", "webgpu"})
        assert page.locator("select.engine option").count() == 2
        page.locator("select.engine").select_option("wasm-1")
        page.reload()
        expect(page.locator("select.engine")).to_have_value("wasm-1")


@pytest.fixture
def app(app_url: str) -> str:
    """The app, once it has made its page for the device."""
    deadline = time.monotonic() + 60
    while httpx.get(f"{app_url}/device/release.json").status_code != 200:
        assert time.monotonic() < deadline, "the app makes no page for the device"
        time.sleep(0.5)
    return app_url


def test_the_app_offers_the_device_to_draw_on(app: str, context: BrowserContext) -> None:
    assert httpx.get(f"{app}/device/").headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    page = context.new_page()
    page.goto(app)
    page.get_by_role("tab", name="Draw").click(timeout=60_000)
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_label("On this device").check()
    panel.locator(".starts button").first.click()
    expect(panel.locator(".made")).to_have_attribute("data-count", re.compile(r"\d"), timeout=PATIENCE)
    assert not [socket for socket in sockets if "/live/" in socket.url]
    panel.get_by_label("On this device").uncheck()
    panel.locator(".starts button").nth(1).click()
    expect(panel.locator(".made")).to_have_attribute("data-count", re.compile("[2-9]"), timeout=PATIENCE)
    assert [socket for socket in sockets if "/live/" in socket.url]


# What is asked of the device, but for its measurement on a small picture: whether it is taken for prepared
ASKED = """async () => {
  window.asked = [];
  const { runner } = await window.device;
  const convert = runner.convert.bind(runner);
  runner.convert = (...given) => { asked.push(given[2].prepared); return convert(...given); };
}"""


def test_a_stroke_in_the_app_does_not_wait_either(app: str, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{app}/#draw")
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_label("On this device").check(timeout=60_000)
    made = panel.locator(".made")
    panel.locator(".starts button").first.click()
    expect(made).to_have_attribute("data-count", "1", timeout=PATIENCE)
    page.evaluate(ASKED)
    assert prepared_of_stroke(page, 1) == [True, False]
    panel.locator(".eraser").click()
    assert prepared_of_stroke(page, 3) == [False, False]


# Counts the camera's frames that are drawn, which Chromium keeps
DRAWN = """{
  window.drawn = 0;
  const { drawImage } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.drawImage = function (picture, ...place) {
    if (picture instanceof HTMLVideoElement) window.drawn++;
    drawImage.call(this, picture, ...place);
  };
  const bitmap = createImageBitmap;
  window.createImageBitmap = (picture, ...place) => {
    if (picture instanceof HTMLVideoElement) window.drawn++;
    return bitmap(picture, ...place);
  };
}"""


def test_the_apps_live_copies_frames_and_does_not_prepare_them(app: str, context: BrowserContext) -> None:
    context.add_init_script(DRAWN)
    page = context.new_page()
    page.goto(f"{app}/#live")
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_label("On this device").check(timeout=60_000)
    panel.get_by_role("button", name="Start the camera").click()
    expect(panel.locator(".rate")).to_contain_text("a second", timeout=PATIENCE)
    page.evaluate(ASKED)
    page.wait_for_function("asked.length > 3", timeout=PATIENCE)
    assert set(page.evaluate("asked")) == {True}
    with page.expect_websocket(timeout=PATIENCE) as opened:
        panel.get_by_label("On this device").uncheck()  # those for the server are copied too
    opened.value.wait_for_event("framereceived", timeout=PATIENCE)
    assert page.evaluate("drawn") == 0


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_app_converts_on_the_device_where_that_is_chosen(
    app: str, context: BrowserContext, release: Path, tmp_path: Path, direction: str
) -> None:
    pipe: Any = FaceSketchPipeline.from_pretrained(release, device="cpu")
    mine = picture(3, (64, 48))
    mine.save(tmp_path / "mine.png")
    page = context.new_page()
    page.goto(f"{app}/#{direction}")
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_label("On this device").check(timeout=60_000)
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if "/queue/join" in sent.url else None)
    result = panel.locator(".slider-wrap img.fixed").first
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "mine.png")
    expect(result).to_have_attribute("src", re.compile("^data:"), timeout=PATIENCE)
    made = shown(result)
    wanted = getattr(pipe, direction)(mine.crop((8, 0, 56, 48)))
    assert difference(made, wanted) < 0.004
    panel.get_by_role("button", name=TEXTS["back_again"]).click()
    again = panel.locator(".again img")
    expect(again).to_have_count(3, timeout=PATIENCE)
    back = getattr(pipe, "sketch_to_photo" if direction == "photo_to_sketch" else "photo_to_sketch")
    assert difference(shown(again.nth(2)), back(made)) < 0.004
    panel.get_by_label(TEXTS["pasted"]).check()
    scene(("photos/ben", 300, (400, 450), 0)).resize((300, 200)).save(tmp_path / "scene.png")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "scene.png")
    expect(result).to_have_js_property("naturalWidth", 300, timeout=PATIENCE)
    assert not asked, "the server converted something"

    panel.get_by_label("On this device").uncheck()  # which converts the picture anew
    expect(result).not_to_have_attribute("src", re.compile("^data:"), timeout=PATIENCE)
    assert asked
    panel.get_by_label("On this device").check()
    expect(result).to_have_attribute("src", re.compile("^data:"), timeout=PATIENCE)
    panel.get_by_role("button", name=TEXTS[f"send_{direction.split('_')[-1]}"]).click()
    (other,) = set(DIRECTIONS) - {direction}
    expect(page.locator(f"[role=tab][data-tab-id={other}]")).to_have_attribute(
        "aria-selected", "true", timeout=PATIENCE
    )
    expect(page.locator(".shown .image-frame img:visible")).to_be_visible(timeout=PATIENCE)


def shown(image: Locator) -> Image.Image:
    url = image.get_attribute("src") or ""
    content = base64.b64decode(url.split(",")[1]) if url.startswith("data:") else httpx.get(url).content
    return Image.open(io.BytesIO(content)).convert("RGB")


def test_where_the_device_fails_the_server_converts(app: str, context: BrowserContext, tmp_path: Path) -> None:
    picture(3, (64, 48)).save(tmp_path / "mine.png")
    context.add_init_script("globalThis.Worker = class { constructor() { throw new Error('none here'); } };")
    page = context.new_page()
    page.goto(app)
    panel = page.locator("[role=tabpanel]:visible")
    panel.get_by_label("On this device").check(timeout=60_000)
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "mine.png")
    expect(panel.locator(".slider-wrap img.fixed").first).to_be_visible(timeout=PATIENCE)
    expect(panel.get_by_text(TEXTS["no_device"])).to_be_visible()
    expect(panel.get_by_label("On this device")).not_to_be_checked()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_app_hands_its_picture_to_the_page_for_the_device(
    app: str, context: BrowserContext, tmp_path: Path, direction: str
) -> None:
    mine = picture(3, (64, 48))
    mine.save(tmp_path / "mine é.png")
    page = context.new_page()
    page.goto(f"{app}/#{direction}")
    panel = page.locator("[role=tabpanel]:visible")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "mine é.png", timeout=60_000)
    expect(panel.locator(".image-frame img")).to_be_visible(timeout=PATIENCE)
    with page.expect_popup() as popup:
        page.get_by_role("link", name=TEXTS["device_page"]).click(timeout=60_000)
    other = popup.value
    expect(other.locator(f"#{direction}")).to_have_attribute("data-count", "1", timeout=PATIENCE)
    assert pixels(other, f"#{direction} canvas.given").tobytes() == mine.tobytes()
    with other.expect_download() as download:
        other.locator(f"#{direction} .save").click()
    assert download.value.suggested_filename == f"mine é-{direction.split('_to_')[1]}.png"
    other.reload()  # the picture is kept for nobody who comes later
    expect(other.get_by_role("tab", name="To sketch")).to_be_visible()
    other.wait_for_timeout(500)
    assert other.locator(f"#{direction} .given").first.evaluate("canvas => canvas.width") != 64
