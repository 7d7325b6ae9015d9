"""Visitors and mischief for minutes: who gets a wrong answer, who waits, what is left? `python -m benchmarks.soak`."""

import asyncio
import io
import itertools
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tyro
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from cyclegan import FaceSketchPipeline
from cyclegan.release import EMBEDDED

from .attacks import BAD, LIMITS, data_url, encoded, request, send
from .load import Pixels, ask, memory, picture
from .running import running_app

MISBEHAVING = 4
PAUSE = 3.0  # seconds between an answer and the next picture, as a quick visitor makes them


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for file in listed for child in file.read_text().split()]


def held(process: int, folder: Path) -> dict[str, int]:
    """What the app holds: MB of memory, also of the processes that open pictures, descriptors, and visitors' files."""
    total = memory(process)
    for child in children(process):
        with suppress(OSError, StopIteration):  # it has just ended
            total += memory(child)
    return {
        "memory_mb": memory(process),
        "memory_mb_with_children": total,
        "descriptors": len([*Path(f"/proc/{process}/fd").iterdir()]),
        "files": sum(file.is_file() for file in folder.glob("face-sketch-*/**/*")),
    }


async def ask_live(socket: Any, number: int) -> Pixels:
    await socket.send(encoded(picture(number), "JPEG", quality=95))
    with Image.open(io.BytesIO(await socket.recv())) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def mischief(url: str) -> Iterator[Callable[[httpx.AsyncClient], Awaitable[None]]]:
    """The ways to misbehave: bad uploads, a bad stream, nonsense by plain HTTP, and bad pictures as colours."""
    made = [make() for make in BAD.values()]
    bad, good = itertools.cycle(made), {"url": data_url(encoded(picture(0)))}
    bad_uploads = itertools.cycle([request({"url": data_url(content)}) for content in made])
    bad_colours = itertools.cycle(
        [request(good, "face", 256, "", "", "", {"url": data_url(content)}) for content in made]
    )
    nonsense = itertools.cycle([None, "x", 5, 1e300, [None, None], {"path": "/etc/passwd"}, {"a": [1]}, "a" * 100_000])

    async def upload(client: httpx.AsyncClient) -> None:
        await send(url, client, "photo_to_sketch", next(bad_uploads))

    async def stream(_: httpx.AsyncClient) -> None:
        async with connect(f"ws{url[4:]}/live/photo_to_sketch", max_size=None, compression=None) as socket:
            for content in ("hello", next(bad)[: 2**20], next(bad)[: 2**20]):
                await socket.send(content)
                await socket.recv()

    async def confuse(client: httpx.AsyncClient) -> None:
        await send(url, client, "sketch_to_photo", request(*(next(nonsense) for _ in range(7))))

    async def colour(client: httpx.AsyncClient) -> None:
        await send(url, client, "sketch_to_photo", next(bad_colours))

    return itertools.cycle([upload, stream, confuse, colour])


async def soak(url: str, process: int, folder: Path, expected: Pixels, seconds: float, pause: float) -> dict[str, Any]:
    waits: dict[str, list[float]] = {"idle": [], "attacked": []}
    wrong, errors, bad = 0, [], 0
    start, phase = time.monotonic(), "idle"
    idle = seconds / 5

    async def visit(number: int) -> None:
        """A visitor who sends a picture of their own again and again, every fourth on Live."""
        nonlocal wrong
        sent = data_url(encoded(picture(number)))
        async with httpx.AsyncClient(timeout=300, limits=LIMITS) as client:
            while time.monotonic() - start < idle + seconds:
                await asyncio.sleep(random.uniform(0, 2 * pause))
                begun, was = time.monotonic(), phase
                try:
                    if number % 4:
                        made = await ask(client, url, sent)
                    else:
                        async with connect(f"ws{url[4:]}/live/photo_to_sketch") as socket:
                            made = await ask_live(socket, number)
                except Exception as error:
                    errors.append(repr(error))
                    continue
                waits[was].append(time.monotonic() - begun)
                wrong += int(np.abs(expected - made).mean((1, 2, 3)).argmin()) != number  # another visitor's

    async def misbehave(act: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        nonlocal bad
        await asyncio.sleep(idle)
        async with httpx.AsyncClient(timeout=300, limits=LIMITS) as client:
            while time.monotonic() - start < idle + seconds:
                with suppress(httpx.HTTPError, OSError, WebSocketException):
                    await act(client)
                bad += 1

    async def turn() -> None:
        nonlocal phase
        await asyncio.sleep(idle)
        phase = "attacked"

    ways = mischief(url)
    await asyncio.gather(  # the first picture that a client sends takes longer
        *(ask(httpx.AsyncClient(timeout=300, limits=LIMITS), url, data_url(encoded(picture(0)))) for _ in range(2))
    )
    before = held(process, folder)
    start = time.monotonic()
    await asyncio.gather(
        turn(),
        *(visit(number) for number in range(len(expected))),
        *(misbehave(next(ways)) for _ in range(MISBEHAVING)),
    )
    after = held(process, folder)
    report: dict[str, Any] = {"clients": len(expected) + MISBEHAVING, "misbehaving": MISBEHAVING}
    for name, times in waits.items():
        times.sort()
        shares = {f"p{share}_s": round(times[len(times) * share // 100], 2) for share in (50, 95, 99) if times}
        report[name] = {"answers": len(times)} | shares
    if all(waits.values()):
        report["p50_ratio"] = round(report["attacked"]["p50_s"] / max(report["idle"]["p50_s"], 0.01), 2)
    return report | {"bad_requests": bad, "wrong": wrong, "errors": errors, "at_start": before, "at_end": after}


def main(weights: str = str(EMBEDDED), visitors: int = 16, seconds: float = 600, pause: float = PAUSE) -> None:
    """Print JSON: how long visitors wait without and with four others who misbehave, and what the app holds then.

    Args:
        weights: A release. Not given: the embedded weights.
        visitors: Those who send pictures and look at what comes back; four others misbehave.
        seconds: For how long, after a fifth of this without the four.
        pause: Seconds on average between an answer and the next picture of a visitor.
    """
    pipe = FaceSketchPipeline.from_pretrained(weights)
    made = [pipe.photo_to_sketch(picture(number), framing="face") for number in range(visitors)]
    expected = np.stack([np.asarray(one, np.float32) for one in made])  # (visitors, H, W, 3)
    with tempfile.TemporaryDirectory() as name, running_app(weights, Path(name)) as (url, app):
        report = asyncio.run(soak(url, app.pid, Path(name), expected, seconds, pause))
        report["tracebacks_in_the_log"] = (Path(name) / "log.txt").read_text().count("Traceback")
    print(json.dumps(report))


if __name__ == "__main__":
    tyro.cli(main)
