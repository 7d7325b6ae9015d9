"""Many clients at once: is every answer right, how long do they wait, does memory grow? `python -m benchmarks.load`."""

import asyncio
import base64
import io
import json
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import tyro
from PIL import Image

from cyclegan import FaceSketchPipeline
from cyclegan.release import EMBEDDED

from .running import running_app

Pixels = npt.NDArray[np.float32]


def picture(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC)


def memory(process: int) -> int:
    """Resident memory in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


async def ask(client: httpx.AsyncClient, url: str, sent: str) -> Pixels:
    """Convert a picture by plain HTTP -> what came back, (H, W, 3)."""
    call = f"{url}/gradio_api/call/photo_to_sketch"
    event = (await client.post(call, json={"data": [{"url": sent}]})).json()["event_id"]
    lines = (await client.get(f"{call}/{event}")).text.splitlines()
    if "event: complete" not in lines:
        raise RuntimeError(" ".join(lines))
    (result,) = json.loads(next(line for line in reversed(lines) if line.startswith("data: "))[6:])
    with Image.open(io.BytesIO((await client.get(result["url"])).content)) as image:
        return np.asarray(image.convert("RGB"), np.float32)


async def load(url: str, process: int, expected: Pixels, seconds: float, conversions: int) -> None:
    waits: list[float] = []
    wrong, errors, sizes = 0, [], [memory(process)]
    start = time.monotonic()

    async def visit(number: int) -> None:
        nonlocal wrong
        buffer = io.BytesIO()
        picture(number).save(buffer, "PNG")
        sent = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        async with httpx.AsyncClient(timeout=300) as client:
            while time.monotonic() - start < seconds or len(waits) < conversions:
                begun = time.monotonic()
                try:
                    made = await ask(client, url, sent)
                    wrong += int(np.abs(expected - made).mean((1, 2, 3)).argmin()) != number  # another client's
                except Exception as error:
                    errors.append(repr(error))
                    return
                waits.append(time.monotonic() - begun)
                if len(waits) % 250 == 0:
                    sizes.append(memory(process))

    await asyncio.gather(*(visit(number) for number in range(len(expected))))
    elapsed = time.monotonic() - start
    waits.sort()
    report = {
        "clients": len(expected),
        "seconds": round(elapsed, 1),
        "conversions": len(waits),
        "conversions_per_second": round(len(waits) / elapsed, 1),
        "wrong": wrong,
        "errors": errors,
        "median_s": round(waits[len(waits) // 2], 2),
        "p95_s": round(waits[len(waits) * 95 // 100], 2),
        "memory_mb_at_start_and_every_250": sizes,
    }
    print(json.dumps(report))


def main(weights: str = str(EMBEDDED), clients: int = 50, seconds: float = 60, conversions: int = 0) -> None:
    """Print JSON; each client sends its own picture again and again, and sees whether what comes back is its own.

    Args:
        weights: A release. Not given: the embedded weights.
        clients: How many at once.
        seconds: For how long at least.
        conversions: How many at least.
    """
    pipe = FaceSketchPipeline.from_pretrained(weights)
    made = [pipe.photo_to_sketch(picture(number)) for number in range(clients)]
    expected = np.stack([np.asarray(one, np.float32) for one in made])  # (clients, H, W, 3)
    with tempfile.TemporaryDirectory() as folder, running_app(weights, Path(folder)) as (url, app):
        asyncio.run(load(url, app.pid, expected, seconds, conversions))


if __name__ == "__main__":
    tyro.cli(main)
