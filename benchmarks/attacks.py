"""How long a visitor waits while somebody sends pictures that cost much to open: `python -m benchmarks.attacks`."""

import asyncio
import base64
import io
import json
import random
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tyro
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from cyclegan.release import EMBEDDED

from .load import ask, picture
from .running import running_app

SENDERS = 2  # that upload a picture again and again, and as many that stream it
# uvicorn closes a connection after 5 seconds of rest, which is also when httpx would no longer use it
LIMITS = httpx.Limits(keepalive_expiry=1)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def noise() -> Image.Image:
    return Image.fromarray(np.frombuffer(random.Random(0).randbytes(12_000_000), np.uint8).reshape(2000, 2000, 3))


def huge() -> Image.Image:
    return Image.new("RGB", (9990, 9990), "tan")


def tags() -> bytes:
    """A TIFF whose tags all have the same 500 kB for a value: 20 GB together."""
    tags = b"".join(struct.pack("<HHII", 512 + number, 1, 500_000, 26) for number in range(40_000))
    return b"II*\0" + struct.pack("<IH", 8, 40_000) + tags + bytes(500_000)


BMP = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 0, 0, 0, 54, 40, 9990, 9990, 1, 8, 1, 0, 0, 0, 0, 0)
# Files that cost much to open, or hang a program, or are none
BAD: dict[str, Callable[[], bytes]] = {
    "EPS program named .png": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n{} loop\n",
    "WebP of 38 bytes": lambda: b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0" + bytes(8),
    "BMP of 9990 x 9990, run lengths": lambda: BMP + bytes(10_000),
    "SVG": lambda: b"<svg/>",
    "TIFF with 20 GB of tags": tags,
    "PNG of 9990 x 9990": lambda: encoded(huge()),
    "WebP of 9990 x 9990": lambda: encoded(huge(), "WEBP", method=0),
    "TIFF of 9990 x 9990": lambda: encoded(huge(), "TIFF", compression="tiff_lzw"),
    "JPEG 2000 of 4 million pixels": lambda: encoded(noise(), "JPEG2000"),
    "DDS of 4 million pixels": lambda: encoded(noise(), "DDS"),
    "noise, TIFF with LZMA": lambda: encoded(noise(), "TIFF", compression="lzma"),
    "noise, progressive JPEG": lambda: encoded(noise(), "JPEG", progressive=True),
    "noise, WebP": lambda: encoded(noise(), "WEBP", method=0),
    "noise, PNG that is cut off": lambda: encoded(noise())[:-99],
}


def request(*data: Any) -> bytes:
    """What is posted to an endpoint. It is made in advance, since the visitor who is timed is in this process, too."""
    return json.dumps({"data": data}).encode()


async def send(url: str, client: httpx.AsyncClient, endpoint: str, body: bytes) -> None:
    """Ask an endpoint by plain HTTP, and wait for its answer, whatever it is."""
    call = f"{url}/gradio_api/call/{endpoint}"
    answer = await client.post(call, content=body, headers={"Content-Type": "application/json"})
    if answer.is_success:
        await client.get(f"{call}/{answer.json()['event_id']}")


async def upload(url: str, content: bytes) -> None:
    body = request({"url": data_url(content)})
    async with httpx.AsyncClient(timeout=300, limits=LIMITS) as client:
        while True:
            with suppress(httpx.HTTPError):
                await send(url, client, "photo_to_sketch", body)


async def stream(url: str, content: bytes) -> None:
    while True:
        with suppress(OSError, WebSocketException):
            async with connect(f"ws{url[4:]}/live/photo_to_sketch", max_size=None, compression=None) as socket:
                while True:
                    await socket.send(content)
                    await socket.recv()


async def waits(url: str, answers: int) -> list[float]:
    """The seconds of a visitor's answers, one after the other."""
    seconds, sent = [], data_url(encoded(picture(0)))
    async with httpx.AsyncClient(timeout=300, limits=LIMITS) as client:
        for _ in range(answers):
            start = time.monotonic()
            await ask(client, url, sent)
            seconds.append(time.monotonic() - start)
    return seconds


async def attack(url: str, content: bytes, answers: int) -> list[float]:
    senders = [asyncio.ensure_future(act(url, content)) for act in (upload, stream) for _ in range(SENDERS)]
    await asyncio.sleep(1)
    try:
        return await waits(url, answers)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)


async def table(url: str, answers: int) -> list[dict[str, Any]]:
    """A row for each attack: the answers while it is under way, and those just before it, when nobody else is there."""
    async with httpx.AsyncClient() as client:  # the app is busy until it has made the page for the device
        for _ in range(120):
            if (await client.get(f"{url}/device/release.json")).is_success:
                break
            await asyncio.sleep(1)
    await waits(url, 2)  # the first ones take longer
    rows = []
    for name, make in BAD.items():
        content = make()
        idle = statistics.median(await waits(url, answers))
        attacked = await attack(url, content, answers)
        row = {
            "picture": name, "bytes": len(content), "idle_s": round(idle, 2),
            "median_s": round(statistics.median(attacked), 2), "most_s": round(max(attacked), 2),
            "ratio": round(statistics.median(attacked) / idle, 2),
        }  # fmt: skip
        print(" | ".join(map(str, row.values())), file=sys.stderr)
        rows.append(row)
    return rows


def main(weights: str = str(EMBEDDED), answers: int = 10) -> None:
    """Print JSON: for each bad picture, how long a visitor waits while four clients send it, and just before.

    Args:
        weights: A release. Not given: the embedded weights.
        answers: How many are measured of each.
    """
    with tempfile.TemporaryDirectory() as folder, running_app(weights, Path(folder)) as (url, _):
        rows = asyncio.run(table(url, answers))
    print(json.dumps(rows))


if __name__ == "__main__":
    tyro.cli(main)
