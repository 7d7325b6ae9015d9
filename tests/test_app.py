"""The real app, asked by Gradio's own client, by plain HTTP, by MCP and over its WebSocket."""

import asyncio
import base64
import io
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from conftest import ROOT, picture
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from test_images import bomb
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from cyclegan import FaceSketchPipeline
from cyclegan.space.files import sweep

SIZE = 32  # of the release that the tests' app shows


@pytest.fixture(scope="module")
def client(app_url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(app_url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def data_url(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded(image)).decode()


def call(app_url: str, endpoint: str | int, data: list[Any]) -> Any:
    """Ask an endpoint by its name or number, as a page does, and return what comes back, or the error's sentence."""
    name = {"fn_index": endpoint} if isinstance(endpoint, int) else {}
    if name:
        session = {"session_hash": f"test{time.monotonic_ns()}"}
        httpx.post(f"{app_url}/gradio_api/queue/join", json={"data": data} | name | session)
        url = f"{app_url}/gradio_api/queue/data?session_hash={session['session_hash']}"
        lines = [line[6:] for line in httpx.get(url, timeout=60).text.splitlines() if line.startswith("data: ")]
        (output,) = (event["output"] for event in map(json.loads, lines) if event["msg"] == "process_completed")
        return output.get("data") or output["error"]
    event = httpx.post(f"{app_url}/gradio_api/call/{endpoint}", json={"data": data}).json()["event_id"]
    answer = httpx.get(f"{app_url}/gradio_api/call/{endpoint}/{event}", timeout=60).text
    answer = json.loads(answer.split("data: ", 1)[1].splitlines()[0])
    return answer["error"] if isinstance(answer, dict) else answer


@pytest.mark.parametrize("direction", ["photo_to_sketch", "sketch_to_photo"])
def test_a_picture_is_converted_as_the_pipeline_does(
    client: Client, release: Path, tmp_path: Path, direction: str
) -> None:
    picture(0, (300, 200)).save(tmp_path / "face.png")
    pipe, face = FaceSketchPipeline.from_pretrained(release, device="cpu"), handle_file(tmp_path / "face.png")
    results: dict[tuple[int, int], tuple[str, dict[str, Any]]] = {
        (48, SIZE): (client.predict(face, "whole", api_name=f"/{direction}"), {}),
        (SIZE, SIZE): (client.predict(face, api_name=f"/{direction}"), {"framing": "face"}),
        (64, 64): (client.predict(face, "middle", 64, api_name=f"/{direction}"), {"framing": "middle", "size": 64}),
    }
    for size, (result, options) in results.items():
        with Image.open(result) as image:
            assert image.format == "PNG"
            assert image.size == size
            expected = getattr(pipe, direction)(picture(0, (300, 200)), **options)
            assert image.convert("RGB").tobytes() == expected.tobytes()
    with pytest.raises(AppError, match="size must be from 16 to 1024 pixels; got 5000"):
        client.predict(face, "face", 5000, api_name=f"/{direction}")
    choice, refused = {
        "photo_to_sketch": ({"style": "ink"}, "There is no style 'ink'; this release has one style only"),
        "sketch_to_photo": ({"hair": "black"}, "it was trained without a palette"),
    }[direction]
    with pytest.raises(AppError, match=refused):
        client.predict(face, **choice, api_name=f"/{direction}")


def test_the_two_endpoints_are_what_the_page_of_the_api_shows(client: Client) -> None:
    endpoints: Any = client.view_api(return_format="dict", print_info=False)
    assert endpoints["named_endpoints"].keys() == {"/photo_to_sketch", "/sketch_to_photo"}
    assert not endpoints["unnamed_endpoints"]


def test_plain_http_may_send_the_picture_itself(app_url: str) -> None:
    (result,) = call(app_url, "photo_to_sketch", [{"url": data_url(picture(0))}])
    with Image.open(io.BytesIO(httpx.get(result["url"]).content)) as image:
        assert image.size == (SIZE, SIZE)


def test_who_gets_the_same_picture_gets_a_file_of_their_own(app_url: str) -> None:
    one, other = (call(app_url, "photo_to_sketch", [{"url": data_url(picture(0))}])[0]["url"] for _ in range(2))
    assert one != other, "one would be written while the other is read"
    assert httpx.get(one).content == httpx.get(other).content


def test_an_mcp_client_finds_both_tools_and_gets_a_picture(app_url: str) -> None:
    async def ask() -> tuple[set[str], Any]:
        async with (
            streamable_http_client(f"{app_url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name for tool in (await session.list_tools()).tools}
            return tools, await session.call_tool("photo_to_sketch", {"image": data_url(picture(0))})

    tools, result = asyncio.run(ask())
    assert tools == {"photo_to_sketch", "sketch_to_photo"}
    assert not result.isError
    with Image.open(io.BytesIO(base64.b64decode(result.content[0].data))) as image:
        assert image.size == (SIZE, SIZE)


def test_both_pages_offer_their_examples(client: Client) -> None:
    samples = [part["props"]["samples"] for part in client.config["components"] if part["type"] == "dataset"]
    for offered, folder in zip(samples, ("photos", "sketches"), strict=True):
        names = [Path(sample[0]["path"]).name for sample in offered]
        assert names == sorted(file.name for file in (ROOT / "examples" / folder).glob("*.webp"))
        assert len(names) >= 6


# What is nobody's business


def endpoints_with(client: Client, kind: str) -> list[tuple[int, int]]:
    """The events that take a component of a kind: number of the event, and of the input."""
    kinds = {part["id"]: part["type"] for part in client.config["components"]}
    return [
        (event["id"], event["inputs"].index(number))
        for event in client.config["dependencies"]
        if event["backend_fn"]
        for number in event["inputs"]
        if kinds[number] == kind
    ]


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
@pytest.mark.parametrize("kind", ["image", "imageslider", "file"])
def test_no_picture_of_the_server_is_opened_by_its_path(
    client: Client, app_url: str, tmp_path: Path, kind: str, meta: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.png"
    picture(0).save(secret)
    found = endpoints_with(client, kind)
    assert found
    for event, place in found:
        sent: Any = {"path": str(secret)} | meta
        own: Any = {"url": data_url(picture(0))}
        data: list[Any] = [own, "release0", "whole", None, 1, {}, None, "release0"]
        data = data[: len(client.config["dependencies"][event]["inputs"])]
        data[place] = sent if kind == "image" else [sent, sent]
        answer = call(app_url, event, data)
        told = json.dumps(answer)  # null: Gradio refused it. An example comes as a surprise, whatever was sent
        assert answer is None or "uploaded to this app" in told or ".webp" in told, answer
        assert ".png" not in json.dumps(answer), answer


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=app.py",
        f"file={ROOT / 'app.py'}",
        f"file={ROOT / 'cyclegan/weights/photo_to_sketch.safetensors'}",
        "file=../../etc/passwd",
        "file=%2e%2e/%2e%2e/etc/passwd",
        "file={cache}/../log.txt",
        "file={cache}/%2e%2e/log.txt",
        "../../../../etc/passwd",
    ],
)
def test_no_file_of_the_server_is_served(client: Client, app_url: str, path: str) -> None:
    samples = [part["props"]["samples"] for part in client.config["components"] if part["type"] == "dataset"]
    cache = Path(samples[0][0][0]["path"]).parent.parent
    answer = httpx.get(f"{app_url}/gradio_api/{path.format(cache=cache)}")
    assert answer.status_code in (403, 404), answer.text[:200]


def test_what_visitors_sent_is_deleted_in_time_and_the_examples_stay(tmp_path: Path) -> None:
    for name in ("example.png", "sent.png"):
        (tmp_path / name).touch()
    kept = {tmp_path / "example.png"}
    sweep(tmp_path, kept, older_than=60)
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path, kept, older_than=-1)
    assert set(tmp_path.iterdir()) == kept


# The live stream


@pytest.fixture
def live_url(app_url: str) -> str:
    return app_url.replace("http", "ws") + "/live/photo_to_sketch"


def test_each_picture_of_a_stream_is_answered_in_order(live_url: str, release: Path) -> None:
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu")
    pictures = [picture(seed, (64, 64)) for seed in range(4)]
    with connect(live_url) as socket:
        for sent in pictures:
            socket.send(encoded(sent))
        for sent in pictures:
            assert socket.recv(30) == encoded(pipe.photo_to_sketch(sent), "JPEG", quality=90)


def test_a_bad_picture_of_a_stream_is_a_sentence_and_the_stream_goes_on(live_url: str) -> None:
    with connect(live_url) as socket:
        for data, words in (
            (b"", "is empty"),
            (bomb(), "over the limit"),
            (os.urandom(2**20 + 1), "too large for a live stream"),
        ):
            socket.send(data)
            assert words in str(socket.recv(30))
            socket.send(encoded(picture(0)))
            assert isinstance(socket.recv(30), bytes)


def test_no_other_path_is_a_stream(app_url: str) -> None:
    with pytest.raises(InvalidStatus), connect(f"{app_url.replace('http', 'ws')}/live/../photo_to_sketch"):
        pass


def test_a_viewer_who_sends_much_does_not_starve_another(live_url: str) -> None:
    big = encoded(picture(0, (900, 900)), "JPEG")
    with connect(live_url) as greedy, connect(live_url) as modest:
        for _ in range(100):
            greedy.send(big)
        for _ in range(5):
            modest.send(encoded(picture(1)))
            modest.recv(30)
        answered = 0
        with suppress(TimeoutError):
            while True:
                greedy.recv(0)
                answered += 1
    assert answered < 50, "five pictures had to wait for half a hundred of somebody else"


# Many pictures


def test_many_pictures_and_zips_come_back_as_a_zip_with_their_names(
    client: Client, app_url: str, tmp_path: Path
) -> None:
    picture(0).save(tmp_path / "anna.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    with ZipFile(tmp_path / "album.zip", "w") as archive:
        archive.writestr("family/ben.webp", encoded(picture(1), "WEBP"))
        archive.writestr("../../slip.png", encoded(picture(2)))
        archive.writestr("__MACOSX/family/._ben.webp", b"rubbish")
        archive.writestr("anna.png", encoded(picture(3)))
    files = [handle_file(tmp_path / name) for name in ("anna.jpg", "notes.txt", "album.zip")]
    shown, target, report = client.predict(files, "photo_to_sketch", "whole", "release0", api_name="/batch")
    names = ["anna.png", "family/ben.png", "slip.png", "anna-2.png"]
    assert [part["name"] for part in shown] == names
    for part in shown:  # the page shows both
        served = (httpx.get(f"{app_url}/gradio_api/file={part[one]}").content for one in ("given", "made"))
        given, made = (Image.open(io.BytesIO(content)) for content in served)
        assert made.height == 512  # which is what was made, enlarged
        assert given.size == (round(256 * given.width / 256), 256)
    with ZipFile(target["value"]) as archive:
        assert archive.namelist() == names
        with Image.open(archive.open("family/ben.png")) as image:
            assert image.size == (608, 512)
    assert report.startswith("4 of 5 converted.")
    (small,), *_ = client.predict(files[:1], "photo_to_sketch", "whole", "release0", 1, api_name="/batch")
    with Image.open(io.BytesIO(httpx.get(f"{app_url}/gradio_api/file={small['made']}").content)) as image:
        assert image.height == SIZE, "it was chosen"
    assert "notes.txt is not a picture" in report


def test_a_long_batch_keeps_no_other_waiting(client: Client, app_url: str, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(200):
            archive.writestr(f"{number}.png", encoded(picture(number % 10)))
    picture(0).save(tmp_path / "one.png")
    asked = [(name, "photo_to_sketch", "whole", "release0") for name in ("many.zip", "one.png")]
    long, short = (client.submit([handle_file(tmp_path / name)], *more, api_name="/batch") for name, *more in asked)
    assert short.result(60)[2].startswith("1 of 1")
    assert not long.done()
    long.cancel()


def test_an_empty_batch_is_told(client: Client) -> None:
    with pytest.raises(AppError, match="Upload a picture first"):
        client.predict([], "photo_to_sketch", "face", "release0", api_name="/batch")
