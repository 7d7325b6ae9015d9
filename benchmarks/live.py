"""How many converted pictures of the camera reach the page each second, and how late: `python -m benchmarks.live`."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import tyro
from PIL import Image
from playwright.sync_api import sync_playwright

from .running import APP, running_app

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
# Looks at the converted picture, made small, whenever the browser paints, and counts those that are not the one before
COUNT = """() => {
  const canvas = document.querySelector(".made");
  const small = new OffscreenCanvas(32, 32).getContext("2d", { willReadFrequently: true });
  const seen = window.seen = { distinct: 0, delays: [] };
  let before = new Uint32Array(32 * 32);
  const look = () => {
    small.drawImage(canvas, 0, 0, 32, 32);
    const now = new Uint32Array(small.getImageData(0, 0, 32, 32).data.buffer);
    if (now.some((pixel, at) => pixel !== before[at])) {
      seen.distinct++;
      seen.delays.push(Number(canvas.dataset.delay));
      before = now;
    }
    if (window.seen === seen) requestAnimationFrame(look); // else another count has begun
  };
  look();
}"""


def find_chromium() -> str | None:
    """The browser without a window, if it is there: a page of it costs a tenth of the time to open."""
    named = ("chromium-headless-shell", "chromium", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, named)), None)


def film(file: Path) -> list[str]:
    """Write what a fake camera shows, a drawn face that moves from side to side, and return Chromium's flags."""
    face = Image.open(APP.parent / "examples/photos/ben.webp").convert("RGB").resize((400, 400))
    with file.open("wb") as output:
        for number in range(40):
            frame = Image.new("RGB", (640, 480), "grey")
            frame.paste(face, (60 + 3 * abs(20 - number), 40))
            frame.save(output, "JPEG")
    return [*FLAGS, f"--use-file-for-fake-video-capture={file}"]


def main(weights: str = "", seconds: float = 20, viewers: int = 1) -> None:
    """Print JSON: distinct pictures a second, and milliseconds from the camera's picture to the converted one.

    Args:
        weights: A release, as in CYCLEGAN_WEIGHTS. Not given: the embedded weights.
        seconds: How long to count, after three seconds to get going.
        viewers: Pages that are open at once, each with its camera.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(weights, Path(folder)) as (url, _),
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=find_chromium(), args=film(Path(folder) / "film.mjpeg")
        ) as browser,
    ):  # fmt: skip
        pages = [browser.new_context(permissions=["camera"]).new_page() for _ in range(viewers)]
        for page in pages:
            page.goto(url)
            page.get_by_role("tab", name="Live").click(timeout=60_000)
            page.get_by_role("button", name="Start the camera").click()
        time.sleep(3)
        for page in pages:
            page.evaluate(COUNT)
        time.sleep(seconds)
        seen = [page.evaluate("window.seen") for page in pages]
    delays = [sorted(one["delays"]) for one in seen]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "pictures_per_second": [round(one["distinct"] / seconds, 1) for one in seen],
                "median_delay_ms": [round(ordered[len(ordered) // 2]) if ordered else None for ordered in delays],
            }
        )
    )


if __name__ == "__main__":
    tyro.cli(main)
