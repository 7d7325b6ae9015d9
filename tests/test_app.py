"""The real app, started by the README's command, asked by Gradio's own client."""

import base64
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, picture
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from test_images import bomb


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log.txt"
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    with log.open("w") as output, subprocess.Popen(
        [sys.executable, ROOT / "app.py"], cwd=ROOT, env=os.environ | settings, stdout=output, stderr=output
    ) as app:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while f"http://127.0.0.1:{port}" not in log.read_text():
                assert app.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(log.parent))
            assert "Traceback" not in log.read_text()
        finally:
            app.terminate()


def test_plain_http_may_send_the_picture_itself(client: Client) -> None:
    buffer = io.BytesIO()
    picture(0).save(buffer, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    result = client.predict({"url": url, "meta": {"_type": "gradio.FileData"}}, api_name="/photo_to_sketch")
    with Image.open(result) as image:
        assert image.size == (154, 128)


@pytest.mark.parametrize("direction", ["photo_to_sketch", "sketch_to_photo"])
def test_a_picture_is_converted(client: Client, tmp_path: Path, direction: str) -> None:
    picture(0, (300, 200)).save(tmp_path / "face.jpg")
    result = client.predict(handle_file(tmp_path / "face.jpg"), api_name=f"/{direction}")
    with Image.open(result) as image:
        assert image.format == "PNG"
        assert image.size == (192, 128)


def test_both_pages_offer_their_examples(client: Client) -> None:
    samples = [part["props"]["samples"] for part in client.config["components"] if part["type"] == "dataset"]
    for offered, folder in zip(samples, ("photos", "sketches"), strict=True):
        names = [Path(sample[0]["path"]).name for sample in offered]
        assert names == sorted(file.name for file in (ROOT / "examples" / folder).glob("*.png"))
        assert len(names) >= 6


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("page.png", b"<html>no picture</html>", r"page\.png is not a picture"),
        ("half.png", None, r"half\.png is cut off or damaged"),
        ("dot.png", b"", r"dot\.png is 1 x 1 pixels"),
        ("bomb.png", bomb(), r"bomb\.png .*over the limit"),
    ],
)
def test_a_bad_upload_is_one_friendly_sentence(
    client: Client, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    file = tmp_path / name
    picture(0, (200, 200) if content is None else (1, 1)).save(file)
    if content is None:
        file.write_bytes(file.read_bytes()[:3000])
    elif content:
        file.write_bytes(content)
    with pytest.raises(AppError, match=words) as caught:
        client.predict(handle_file(file), api_name="/photo_to_sketch")
    assert "/" not in str(caught.value), "no path of the server is shown"
