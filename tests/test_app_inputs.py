"""Forty things that are no good picture, each sent to the real app, which says why in a sentence and goes on."""

import base64
import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from conftest import picture
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from test_app import call, client, data_url, encoded
from test_images import bomb

from cyclegan.images import ImageError
from cyclegan.space import files
from cyclegan.space.endpoints import Blocks

__all__ = ["client"]  # the fixture
NOISE = random.Random(0).randbytes(5000)
PHOTO = picture(0, (200, 200))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'


def cut(form: str, keep: float = 0.5) -> bytes:
    whole = encoded(PHOTO, form)
    return whole[: int(len(whole) * keep)]


def flipped() -> bytes:
    data = bytearray(encoded(PHOTO))
    data[len(data) // 2] ^= 255
    return bytes(data)


def header(form: str) -> bytes:
    return encoded(PHOTO, form)[:20] + NOISE


def large(width: int, height: int, form: str = "PNG") -> bytes:
    return encoded(Image.new("L", (width, height)), form)


def claimed(form: str) -> bytes:
    """A file of a few bytes whose header claims 60,000 x 60,000 pixels."""
    if form == "BMP":
        return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    small = encoded(Image.new("L", (9, 9)), "GIF")
    return small[:6] + struct.pack("<HH", 60_000, 60_000) + small[10:]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "is empty"),
    "page.png": (lambda: b"<!doctype html><html><script>alert(1)</script></html>", "not a picture"),
    "text.jpg": (lambda: b"I am not a picture", "not a picture"),
    "noise.webp": (lambda: NOISE, "not a picture"),
    "nulls.bmp": (lambda: bytes(5000), "not a picture"),
    "drawing.svg": (lambda: SVG, "not a picture"),
    "drawing.png": (lambda: SVG, "not a picture"),
    "paper.pdf": (lambda: b"%PDF-1.7\n" + NOISE, "not a picture"),
    "film.mp4": (lambda: b"\x00\x00\x00\x18ftypmp42" + NOISE, "not a picture"),
    "sound.mp3": (lambda: b"ID3\x04" + NOISE, "not a picture"),
    "program.exe": (lambda: b"MZ" + NOISE, "not a picture"),
    "shell.sh": (lambda: b"#!/bin/sh\nrm -rf /\n", "not a picture"),
    "pickle.pkl": (lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.", "not a picture"),
    "zip.png": (lambda: b"PK\x03\x04" + NOISE, "not a picture"),
    "cut.png": (lambda: cut("PNG"), "cut off or damaged"),
    "cut.jpg": (lambda: cut("JPEG"), "cut off or damaged"),
    "cut.webp": (lambda: cut("WEBP"), "cut off or damaged|not a picture"),
    "cut.gif": (lambda: cut("GIF"), "cut off or damaged"),
    "cut.bmp": (lambda: cut("BMP"), "cut off or damaged"),
    "cut.tiff": (lambda: cut("TIFF"), "cut off or damaged|not a picture"),
    "start.png": (lambda: cut("PNG", 0.01), "cut off or damaged|not a picture"),
    "start.jpg": (lambda: cut("JPEG", 0.05), "cut off or damaged|not a picture"),
    "flipped.png": (flipped, "cut off or damaged"),
    "header.png": (lambda: header("PNG"), "cut off or damaged|not a picture"),
    "header.jpg": (lambda: header("JPEG"), "cut off or damaged|not a picture"),
    "header.gif": (lambda: header("GIF"), "cut off or damaged|not a picture|pixels"),
    "dot.png": (lambda: large(1, 1), "1 x 1 pixels"),
    "line.png": (lambda: large(300, 1), "300 x 1 pixels"),
    "thin.png": (lambda: large(12_000, 20), "12000 x 20 pixels, which is too thin to show a face"),
    "tall.jpg": (lambda: large(20, 12_000, "JPEG"), "20 x 12000 pixels, which is too thin"),
    "bomb.png": (bomb, "over the limit"),
    "bomb.bmp": (lambda: claimed("BMP"), "over the limit"),
    "bomb.gif": (lambda: claimed("GIF"), "over the limit"),
    "black.png": (lambda: large(12_000, 12_000), "over the limit"),
}
STRANGE: dict[str, Callable[[], bytes]] = {
    "print.jpg": lambda: encoded(PHOTO.convert("CMYK"), "JPEG"),
    "sixteen.png": lambda: encoded(Image.fromarray(np.arange(40_000, dtype=np.uint16).reshape(200, 200))),
    "moving.gif": lambda: encoded(PHOTO, "GIF", save_all=True, append_images=[picture(1, (200, 200))]),
    "glass.png": lambda: encoded(PHOTO.convert("RGBA")),
    "mask.png": lambda: encoded(PHOTO.convert("1")),
    "palette.gif": lambda: encoded(PHOTO.convert("P"), "GIF", transparency=0),
    "float.tiff": lambda: encoded(PHOTO.convert("F"), "TIFF"),
    "name of jpeg.png": lambda: encoded(PHOTO, "JPEG"),
    "no ending": lambda: encoded(PHOTO),
}


def convert(client: Client, folder: Path, name: str, content: bytes) -> Image.Image:
    (folder / name).write_bytes(content)
    result = client.predict(handle_file(folder / name), api_name="/photo_to_sketch")
    with Image.open(result) as image:
        return image.copy()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_is_one_friendly_sentence_and_the_app_goes_on(client: Client, tmp_path: Path, name: str) -> None:
    content, words = BAD[name]
    with pytest.raises(AppError, match=words) as caught:
        convert(client, tmp_path, name, content())
    message = str(caught.value)
    assert message.startswith(name)
    assert "/" not in message, "no path of the server is shown"
    assert "\n" not in message
    assert convert(client, tmp_path, "good.png", encoded(PHOTO)).size == (32, 32)


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_picture_is_converted_like_any_other(client: Client, tmp_path: Path, name: str) -> None:
    assert convert(client, tmp_path, name, STRANGE[name]()).size == (32, 32)


def test_a_name_is_shown_as_text_and_not_as_html(app_url: str) -> None:
    (path,) = httpx.post(f"{app_url}/gradio_api/upload", files={"files": ("page.png", b"<html>")}).json()
    error = call(app_url, "photo_to_sketch", [{"path": path, "orig_name": "<img src=x onerror=alert(1)>.png"}])
    assert error.startswith("&lt;img src=x onerror=alert(1)&gt;.png is not a picture")


@pytest.mark.parametrize(
    "sent",
    [
        "photo.jpg", 5, [], {"path": 5}, {"path": None}, {"path": "a\0b"}, {"path": "a" * 5000},
        {"path": "/etc/passwd"}, {"url": 5}, {"url": "https://example.com/a.jpg"}, {"url": "data:image/png;base64,abc"},
        {"url": "data:image/png;base64,", "orig_name": 5},
    ],
)  # fmt: skip
def test_a_raw_request_without_a_picture_is_a_sentence(
    sent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with pytest.raises(ImageError, match=r"^This picture .*\.$|^This is not a picture\. Send .*\.$"):
        files.read_upload(sent)
    with pytest.raises(ImageError):
        files.read_pair([sent, sent])


def test_what_was_sent_is_forgotten_once_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    sent = {"url": "data:image/png;base64," + base64.b64encode(encoded(PHOTO)).decode()}
    assert files.read_upload(sent)[0].size == PHOTO.size
    assert sent == {"url": None}


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_a_request_that_is_no_upload_is_not_read_beyond_its_limit(app_url: str, parts: bool) -> None:
    body = json.dumps({"data": [None, "a" * files.MAX_REQUEST]}).encode()
    content: Any = (body[at : at + 2**20] for at in range(0, len(body), 2**20)) if parts else body
    address = f"{app_url}/gradio_api/call/photo_to_sketch"
    answer = httpx.post(address, content=content, headers={"Content-Type": "application/json"}, timeout=60)
    assert (answer.status_code, answer.json()) == (413, {"detail": files.TOO_LARGE})
    noise = encoded(Image.effect_noise((2400, 2400), 99).convert("RGB"))
    assert 4 * len(noise) > files.MAX_REQUEST
    answer = httpx.post(
        f"{app_url}/gradio_api/upload", files=[("files", (f"{n}.png", noise)) for n in range(4)], timeout=60
    )
    assert answer.is_success


@pytest.mark.parametrize("path", ["/etc/passwd", "photo.jpg", "a\0b", "../up.png"])
@pytest.mark.parametrize("several", [False, True])
def test_a_path_of_the_clients_own_is_a_sentence(
    path: str, several: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    event, file = SimpleNamespace(inputs=[SimpleNamespace(value=None)]), {"meta": {"_type": "gradio.FileData"}}
    mine: dict[str, Any] = file | {"path": str(tmp_path / "photo.jpg")}
    Blocks.validate_inputs(None, event, [[mine] if several else mine])  # type: ignore[arg-type]
    theirs: dict[str, Any] = file | {"path": path}
    with pytest.raises(gr.Error, match="This picture was not uploaded to this app"):
        Blocks.validate_inputs(None, event, [[mine, theirs] if several else theirs])  # type: ignore[arg-type]


ODD = [
    "photo.jpg",
    5,
    1.5,
    True,
    [],
    [1],
    "a" * 100_000,
    {"path": {"path": 1}},
    {"path": [1]},
    {"url": 5},
    {"size": "x"},
]


@pytest.mark.parametrize("sent", ODD)
@pytest.mark.parametrize("place", [0, 6])  # the picture, and that which colours are taken from
def test_what_is_no_picture_at_all_is_a_short_sentence(sent: Any, place: int) -> None:
    """Plain HTTP gets no word from Gradio where a value is of a wrong kind."""
    inputs = [{"url": data_url(PHOTO)}, "face", 32, "", "", "", None]
    inputs[place] = sent
    with pytest.raises(gr.Error) as caught, Blocks() as blocks:
        blocks.validate_inputs(
            SimpleNamespace(inputs=[gr.Image(), *(gr.Textbox() for _ in range(5)), gr.Image()]), inputs
        )
    assert re.match(r"This is not a picture\. Send .* are not fetched\.$", caught.value.message)


@pytest.mark.parametrize("sent", ["photo.jpg", ["a"], {"path": {"path": 1}}])
def test_plain_http_gets_that_sentence_too(app_url: str, sent: Any) -> None:
    assert call(app_url, "photo_to_sketch", [sent]).startswith("This is not a picture. Send ")
    assert call(app_url, "sketch_to_photo", [{"url": data_url(PHOTO)}, "face", 32, "", "", "", sent]).startswith(
        "This is"
    )


@pytest.mark.parametrize("sent", ["a", 5, {}, [None], [None, None], ["a", "b"], [1, 2, 3]])
def test_a_raw_request_without_two_pictures_is_a_sentence(sent: Any) -> None:
    with pytest.raises(ImageError, match=r"^This needs two pictures|^This is not a picture"):
        files.read_pair(sent)


NAN = float("nan")


@pytest.mark.parametrize(
    "own", ["a", "abc", 5, {"left": 0}, [None, None], [0, 0], [0, 0, 0], [0, 0, -1], [0, 0, 1e300], [NAN, 0, 1],
            [0, 0, NAN], ["0", 0, 1], [True, 0, 1], [0, 0, [1]], [10**400, 0, 1]],
)  # fmt: skip
def test_a_square_of_a_raw_request_is_a_sentence(own: Any) -> None:
    with pytest.raises(ImageError, match=r"square must be \[left, top, side\]"):
        files.choose(PHOTO, "own", own, 100)
    assert files.choose(PHOTO, "own", [0.25, 0.25, 0.5], 100)[0].image.size == (100, 100)


@pytest.mark.parametrize("framing", ["eyes", None, 5, ["face"], {}])
def test_a_framing_that_is_not_on_offer_is_a_sentence(framing: Any) -> None:
    with pytest.raises(ImageError, match=r"framing must be face, middle, whole or own; got "):
        files.choose(PHOTO, framing, None, 100)


# In the batch


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def encrypted() -> bytes:
    """A zip whose member says that it is encrypted."""
    data = bytearray(zipped(**{"locked.png": encoded(PHOTO)}))
    for start, offset in ((data.find(b"PK\x03\x04"), 6), (data.find(b"PK\x01\x02"), 8)):
        data[start + offset] |= 1
    return bytes(data)


def broken() -> bytes:
    data = bytearray(zipped(**{"broken.png": encoded(PHOTO)}))
    data[200] ^= 255
    return bytes(data)


def lying() -> bytes:
    """A zip of a few kB whose member unpacks to 60 MB, and says that it is 9 bytes."""
    data = bytearray(zipped(**{"lying.png": bytes(60 * 2**20)}))
    for start, offset in ((data.find(b"PK\x03\x04"), 22), (data.find(b"PK\x01\x02"), 24)):
        data[start + offset : start + offset + 4] = struct.pack("<I", 9)
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: zipped(**{"huge.png": bytes(60 * 2**20)}), "huge.png unpacks to more than 50 MB"),
        (lying, "lying.png cannot be unpacked|lying.png is not a picture"),
        (encrypted, "locked.png cannot be unpacked .*encrypted"),
        (broken, "broken.png cannot be unpacked"),
        (lambda: zipped(**{"album.zip": zipped(**{"a.png": encoded(PHOTO)})}), "album.zip is not a picture"),
        (lambda: zipped(**{"../../etc/page.png": b"<html>"}), "page.png is not a picture"),
        (lambda: zipped(**{"a.png": encoded(PHOTO)})[:-9], "album.zip is not a picture"),
    ],
    ids=["bomb", "lying", "encrypted", "broken", "nested", "slip", "cut"],
)
def test_a_bad_zip_is_told_and_the_other_pictures_are_converted(
    client: Client, tmp_path: Path, content: Callable[[], bytes], words: str
) -> None:
    (tmp_path / "album.zip").write_bytes(content())
    picture(0).save(tmp_path / "good.png")
    files = [handle_file(tmp_path / name) for name in ("album.zip", "good.png")]
    shown, _, report = client.predict(files, "photo_to_sketch", "whole", "release0", api_name="/batch")
    assert [part["name"] for part in shown] == ["good.png"]
    assert report.startswith("1 of 2 converted.")
    assert re.search(words, report), report


def test_an_upload_over_the_limit_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(bytes(51 * 2**20))
    with pytest.raises(Exception, match="size"):
        client.predict(handle_file(tmp_path / "film.png"), api_name="/photo_to_sketch")
    assert convert(client, tmp_path, "good.png", encoded(PHOTO)).size == (32, 32)
