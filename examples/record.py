"""Record the README's picture of the pages: `python -m examples.record`. Repeat it when the app or the weights change.

The real app runs in Chromium: a photo becomes a sketch, the mouse draws a face stroke by stroke, and a drawn face moves
before the camera. Screenshots of the page become the frames.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.live import film, find_chromium
from benchmarks.running import running_app

from .make import smooth

HERE = Path(__file__).parent
SIDES: Any = {"width": 1280, "height": 820}
PENS = {"fine": 4, "broad": 9}  # the value of the page's slider
# Pen and points of each stroke, on a sheet whose sides run from 0 to 1
STROKES: list[tuple[str, list[tuple[float, float]]]] = [
    ("fine", [(0.28, 0.40), (0.29, 0.55), (0.33, 0.70), (0.42, 0.82), (0.50, 0.85), (0.58, 0.82), (0.67, 0.70),
              (0.71, 0.55), (0.72, 0.40)]),
    ("fine", [(0.41, 0.82), (0.41, 0.91), (0.33, 0.96), (0.20, 1.00)]),
    ("fine", [(0.59, 0.82), (0.59, 0.91), (0.67, 0.96), (0.80, 1.00)]),
    ("fine", [(0.35, 0.47), (0.39, 0.445), (0.43, 0.45), (0.46, 0.48)]),
    ("fine", [(0.36, 0.48), (0.40, 0.50), (0.45, 0.485)]),
    ("broad", [(0.41, 0.47), (0.415, 0.475), (0.41, 0.48)]),
    ("fine", [(0.54, 0.48), (0.57, 0.45), (0.61, 0.445), (0.65, 0.47)]),
    ("fine", [(0.55, 0.485), (0.60, 0.50), (0.64, 0.48)]),
    ("broad", [(0.59, 0.47), (0.595, 0.475), (0.59, 0.48)]),
    ("broad", [(0.33, 0.41), (0.39, 0.385), (0.46, 0.405)]),
    ("broad", [(0.54, 0.405), (0.61, 0.385), (0.67, 0.41)]),
    ("fine", [(0.48, 0.50), (0.465, 0.60), (0.455, 0.625), (0.475, 0.64), (0.50, 0.645), (0.525, 0.64),
              (0.545, 0.625)]),
    ("fine", [(0.40, 0.705), (0.47, 0.703), (0.50, 0.709), (0.53, 0.703), (0.60, 0.705)]),
    ("fine", [(0.40, 0.705), (0.45, 0.727), (0.55, 0.727), (0.60, 0.705)]),
    ("fine", [(0.43, 0.745), (0.50, 0.764), (0.57, 0.745)]),
    *(  # hair, from the parting down: first on one side, then on the other
        ("fine", [(0.50, 0.15 + 0.006 * lock), (0.5 + side * (0.19 - 0.013 * lock), 0.20 + 0.017 * lock),
                  (0.5 + side * (0.27 - 0.012 * lock), 0.40), (0.5 + side * (0.30 - 0.011 * lock), 0.62),
                  (0.5 + side * (0.28 - 0.009 * lock), 0.84 - 0.035 * (lock % 3))])
        for side in (-1, 1) for lock in range(7)
    ),
]  # fmt: skip


def main(out: Path = HERE.parent / "docs/pages.webp", width: int = 760) -> None:
    """Write an animated picture of three pages, under 2 MB.

    Args:
        out: The picture, WebP or GIF.
        width: Of the picture, in pixels.
    """
    frames: list[Image.Image] = []
    times: list[int] = []  # milliseconds
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app("", Path(folder)) as (url, _),
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=find_chromium(), args=film(Path(folder) / "film.mjpeg")
        ) as browser,
    ):  # fmt: skip
        page = browser.new_page(viewport=SIDES, permissions=["camera"])
        page.set_default_timeout(60_000)

        def photograph(milliseconds: int) -> None:
            frame = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            height = round(width * frame.height / frame.width)
            frames.append(frame.resize((width, height), Image.Resampling.LANCZOS))
            times.append(milliseconds)

        page.goto(f"{url}?__theme=light")
        page.wait_for_selector(".settled", state="attached")
        sketch_a_photo(page, photograph)
        draw(page, photograph)
        look_into_the_camera(page, photograph)
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=times, loop=0, quality=60, method=6)
    print(f"{out}: {len(frames)} frames, {out.stat().st_size / 2**20:.1f} MiB")


def sketch_a_photo(page: Page, photograph: Callable[[int], None]) -> None:
    photograph(700)
    page.get_by_role("button", name="clara").first.click()
    page.locator(".result img.fixed").first.wait_for()
    page.wait_for_timeout(1000)
    photograph(900)
    line = page.locator(".slider-wrap .outer").first
    line.focus()
    for key in [*["ArrowRight"] * 8, *["ArrowLeft"] * 16]:
        line.press(key)
        photograph(60)
    photograph(900)


def draw(page: Page, photograph: Callable[[int], None]) -> None:
    page.get_by_role("tab", name="Draw").click()
    page.mouse.move(0, 0)
    photograph(500)
    box = page.locator(".pad").bounding_box()
    assert box
    for pen, points in STROKES:
        page.locator(".draw .size").fill(str(PENS[pen]))
        path = smooth(np.array(points)) * (box["width"], box["height"]) + (box["x"], box["y"])
        page.mouse.move(*path[0])
        page.mouse.down()
        for x, y in path:
            page.mouse.move(x, y)
        page.mouse.up()
        page.wait_for_timeout(300)  # the photo of the last piece arrives
        photograph(110)
    page.wait_for_timeout(500)
    photograph(1500)


def look_into_the_camera(page: Page, photograph: Callable[[int], None]) -> None:
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start the camera").click()
    page.locator(".oval.fits").wait_for()
    for _ in range(12):
        page.wait_for_timeout(100)
        photograph(120)


if __name__ == "__main__":
    tyro.cli(main)
