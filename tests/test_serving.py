"""The models that many visitors share."""

import io
import json
import threading
import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from conftest import ROOT, make_pipeline, picture
from PIL import Image, ImageDraw
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from test_images import encoded

from cyclegan import FaceSketchPipeline, translator
from cyclegan.directions import Direction
from cyclegan.engines.build import Engine
from cyclegan.images import ImageError, open_image
from cyclegan.networks import Generator
from cyclegan.release import WeightsError
from cyclegan.space import files, saving, serving
from cyclegan.space.serving import Models


def inverted(generator: Generator) -> Engine:
    return lambda pictures, condition, large: -generator(pictures, condition, large)


def wait_for_the_search() -> None:
    for thread in threading.enumerate():
        if thread.name == "engines":
            thread.join(60)


def test_torch_converts_until_the_fastest_engine_is_found(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = Event()

    def choose(generator: Generator, size: int) -> tuple[str, Engine]:
        assert may_end.wait(60)
        return "inverting", inverted(generator)

    monkeypatch.setattr(translator, "choose", choose)
    models = Models(str(release), "auto")
    for name, weights in models.offers.items():  # the first, and one that is chosen later
        exact = FaceSketchPipeline.from_pretrained(weights, device="cpu").photo_to_sketch(picture(0))
        assert models.convert(Direction.PHOTO_TO_SKETCH, name, picture(0)).tobytes() == exact.tobytes()
        may_end.set()
        wait_for_the_search()
        assert set(models.load(weights).engines.values()) == {"inverting"}
        assert models.convert(Direction.PHOTO_TO_SKETCH, name, picture(0)).tobytes() != exact.tobytes()
        may_end.clear()


def test_torch_goes_on_where_the_search_fails(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "choose", None)
    with pytest.warns(UserWarning, match="No faster engine was found for release"):
        models = Models(str(release), "auto")
        wait_for_the_search()
    made = models.convert(Direction.PHOTO_TO_SKETCH, models.first, picture(0))
    assert made.tobytes() == make_pipeline().photo_to_sketch(picture(0)).tobytes()


@pytest.fixture
def models(release: Path) -> Models:
    return Models(str(release))


def visitor(models: Models) -> TestClient:
    return TestClient(Starlette(routes=[WebSocketRoute("/live/{direction}", models.live)]))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("hello", "This is text. Send each picture as the bytes of a JPEG or PNG file."),
        (encoded(Image.new("L", (2001, 2000))), "2001 x 2000 pixels, over the limit of 4 million"),
    ],
)
def test_what_is_no_frame_of_a_stream_is_a_sentence_and_the_stream_goes_on(
    models: Models, sent: str | bytes, words: str
) -> None:
    with visitor(models).websocket_connect("/live/photo_to_sketch") as socket:
        socket.send_text(sent) if isinstance(sent, str) else socket.send_bytes(sent)
        assert words in socket.receive_text()
        socket.send_bytes(encoded(picture(0)))
        assert socket.receive_bytes().startswith(b"\xff\xd8")


def test_a_frame_that_takes_long_to_open_keeps_nobody_waiting(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = Event()

    def open_slowly(data: bytes, **options: Any) -> Image.Image:
        assert data != b"slow" or may_end.wait(60)
        return open_image(encoded(picture(0)) if data == b"slow" else data, **options)

    monkeypatch.setattr(serving, "open_image", open_slowly)
    with (
        visitor(models) as client,
        client.websocket_connect("/live/photo_to_sketch") as slow,
        client.websocket_connect("/live/photo_to_sketch") as quick,
    ):
        slow.send_bytes(b"slow")
        quick.send_bytes(encoded(picture(1)))
        assert quick.receive_bytes()
        models.convert(Direction.PHOTO_TO_SKETCH, models.first, picture(0))
        may_end.set()
        assert slow.receive_bytes()


@pytest.mark.parametrize("name", ["/etc", None, 5, ["release0"], {}])
def test_weights_that_are_not_on_offer_are_a_sentence(models: Models, name: Any) -> None:
    with pytest.raises(WeightsError, match=r"not available here\. Choose from release0, embedded weights\."):
        models.convert(Direction.PHOTO_TO_SKETCH, name, picture(0))
    with pytest.raises(WeightsError, match="not available"):
        models.figures(name)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("photo_to_cake", "There is no direction 'photo_to_cake'; it is photo_to_sketch or sketch_to_photo."),
        ("photo_to_sketch?weights=/etc", "The weights '/etc' are not available here"),
        ("photo_to_sketch?style=bold", "There is no style 'bold'; this release has one style only."),
        ("photo_to_sketch?weights=embedded weights&style=blond", "this release has bold, fine, soft."),
        ("sketch_to_photo?weights=embedded weights&style=bold", "Only sketches have a style. Leave out style='bold'"),
        ("photo_to_sketch?faces=1", "faces is yes, or left out; got '1'."),
        ("photo_to_sketch?size=9999", "size is one of 256, 512 pixels; got '9999'."),
    ],
)
def test_what_a_stream_cannot_choose_is_a_sentence_and_the_end(models: Models, address: str, words: str) -> None:
    with visitor(models).websocket_connect(f"/live/{address}") as socket:
        assert words in socket.receive_text()
        with pytest.raises(WebSocketDisconnect) as end:
            socket.receive_text()
        assert end.value.code == 1008


def test_a_stream_tells_now_and_then_where_the_face_is_and_draws_in_the_style(models: Models) -> None:
    photo = Image.open(ROOT / "examples/photos/ben.webp").convert("RGB")
    wide = Image.new("RGB", (400, 300), "grey")
    wide.paste(photo.resize((200, 200)), (150, 50))
    with visitor(models).websocket_connect("/live/photo_to_sketch?faces=yes") as socket:
        for seen in (wide, Image.new("RGB", (400, 300), "grey")):
            socket.send_bytes(encoded(seen))
            face = json.loads(socket.receive_text())["face"]
            if seen is wide:
                assert face == pytest.approx([150 / 300, 50 / 300, 200 / 300], abs=0.1)
            else:
                assert face is None
            assert socket.receive_bytes()
            time.sleep(serving.LOOK)
        socket.send_bytes(encoded(wide))
        assert "face" in socket.receive_text()
        assert socket.receive_bytes()
        socket.send_bytes(encoded(wide))  # at once: there is no look
        assert socket.receive_bytes()
    with visitor(models).websocket_connect("/live/photo_to_sketch?weights=embedded weights&style=bold") as socket:
        socket.send_bytes(encoded(photo))
        bold = FaceSketchPipeline.from_pretrained(device="cpu").photo_to_sketch(photo, style="bold")
        assert socket.receive_bytes() == encoded(bold, "JPEG", quality=90)


def test_a_stream_answers_in_the_size_that_was_asked_for(models: Models) -> None:
    with visitor(models).websocket_connect("/live/sketch_to_photo?size=256") as socket:
        socket.send_bytes(encoded(picture(0, (300, 300))))
        assert Image.open(io.BytesIO(socket.receive_bytes())).size == (256, 256)


def test_pale_lines_of_a_sketch_are_traced_too() -> None:
    pytest.importorskip("vtracer")
    sketch = Image.new("RGB", (256, 256), (240, 240, 240))
    pen = ImageDraw.Draw(sketch)
    pen.line([(40, 60), (216, 60)], (20, 20, 20), 3)
    pen.line([(40, 180), (216, 190)], (205, 205, 205), 3)
    drawing = saving.trace(sketch).decode()
    assert drawing.count("<path") == 2
    assert 'width="768" height="768" viewBox="0 0 768 768"' in drawing  # so that it can be scaled


def test_a_disk_that_takes_no_result_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.mkdtemp", lambda dir: dir)
    (tmp_path / "face.png").symlink_to("/dev/full")
    with pytest.raises(ImageError, match=r"^The app cannot store your result: No space left on device\. Try again"):
        files.write(picture(0))
