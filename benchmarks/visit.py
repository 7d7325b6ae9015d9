"""What the app's page costs a visitor: bytes, requests, layout shifts, small targets and what axe finds.

Run with: python -m benchmarks.visit
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import tyro
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from .live import film, find_chromium
from .running import running_app

SCREENS = {"phone": (390, 844), "small phone": (360, 740), "laptop": (1280, 900)}
PAGES = ("photo_to_sketch", "sketch_to_photo", "draw", "live", "batch")
PHOTOS = sorted((Path(__file__).parent.parent / "examples" / "photos").iterdir())[:4]
# Shifts right after a click are expected and do not count
SHIFTS = """window.shifts = 0; new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) window.shifts += value;
}).observe({ type: "layout-shift", buffered: true });"""
TARGETS = """() => [...document.querySelectorAll("button, a, input, select, [role=tab]")]
  .filter((part) => part.offsetParent && !part.closest(".visually-hidden") && !part.querySelector("button"))
  .map((part) => [part.type === "radio" || part.type === "checkbox" ? part.closest("label") : part, part])
  .map(([area, part]) => [Math.min(area.offsetWidth || area.clientWidth, area.offsetHeight || area.clientHeight), part])
  .filter(([side]) => side > 0 && side < 44)
  .map(([side, part]) => `${part.ariaLabel || part.textContent.trim() || part.className}: ${side}`)"""


def shifted(page: Page) -> float:
    page.wait_for_timeout(1500)
    return round(float(page.evaluate("[window.shifts, window.shifts = 0][0]")), 3)


def use(page: Page, name: str) -> dict[str, float]:
    """Do on a page what it is for, and return how much moved meanwhile."""
    page.evaluate("name => { location.hash = name; }", name)
    panel = page.locator("[role=tabpanel]:visible")
    page.wait_for_timeout(1000)
    page.evaluate("window.shifts = 0")
    if name == "draw":
        page.locator(".starts button").nth(1).click()
        page.wait_for_function("document.querySelector('.draw .made').dataset.count")
        return {"a drawing": shifted(page)}
    if name == "live":
        page.get_by_role("button", name="Start the camera").click()
        page.wait_for_function("document.querySelector('.rate').textContent")
        return {"the camera": shifted(page)}
    if name == "batch":
        panel.locator("input[type=file]").first.set_input_files(PHOTOS)
        added = shifted(page)
        page.get_by_role("button", name="Convert all").click()
        panel.locator(".pairs figure").nth(3).wait_for()
        return {"files are added": added, "they are converted": shifted(page)}
    panel.locator("input[type=file]").first.set_input_files(PHOTOS[0])
    panel.locator(".slider-wrap img.fixed").wait_for()
    return {"a picture": shifted(page)}


def measure(url: str, width: int, height: int, browser: Any, theme: str) -> dict[str, Any]:
    with browser.new_context(viewport={"width": width, "height": height}, permissions=["camera"]) as context:
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.add_init_script(SHIFTS)
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        sizes: list[float] = []
        devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(f"{url}?__theme={theme}")
        page.wait_for_selector(".settled", state="attached")
        page.wait_for_timeout(2000)
        found: dict[str, Any] = {"MB": round(sum(sizes) / 1e6, 2), "requests": len(sizes), "shift": shifted(page)}
        for name in PAGES:
            moved = use(page, name)
            while (folded := page.locator(".label-wrap:visible:not(.open)")).count():
                folded.first.click()  # so that what is folded away is looked at too
            page.wait_for_timeout(500)
            serious = [
                one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")
            ]
            found[name] = {"shift": moved, "axe": serious, "targets under 44": sorted(set(page.evaluate(TARGETS)))}
            while (unfolded := page.locator(".label-wrap:visible.open")).count():
                unfolded.first.click()
        return found


def main() -> None:
    """Print a line of JSON for each screen and theme; it takes some minutes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app("", Path(folder)) as (url, _),
        sync_playwright() as driver,
    ):
        flags = film(Path(folder) / "face.mjpeg")
        with driver.chromium.launch(executable_path=find_chromium(), args=flags) as browser:
            for name, (width, height) in SCREENS.items():
                for theme in ("light", "dark"):
                    print(json.dumps({"screen": name, "theme": theme} | measure(url, width, height, browser, theme)))


if __name__ == "__main__":
    tyro.cli(main)
