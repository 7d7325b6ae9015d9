"""The page that needs no server, in headless Chromium: milliseconds of a picture, the first visit, Live and Draw.

    python -m benchmarks.browser --json > browser.json

`wasm` is what the page runs; `wasm-plain` is the plain ONNX export of the same generator in onnxruntime-web's
WebAssembly, measured in the same run, the two taking turns.
"""

import base64
import functools
import http.server
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from playwright.sync_api import Browser, Page, sync_playwright

from cyclegan import FaceSketchPipeline
from cyclegan.engines.onnx import sample, to_onnx
from cyclegan.engines.web import export_web, fetch_runtime
from cyclegan.images import denormalise, normalise
from cyclegan.release import EMBEDDED

from .live import COUNT, film, find_chromium


@dataclass(frozen=True)
class Options:
    """Measure the page that `python -m cyclegan export --format web` makes."""

    weights: str = str(EMBEDDED)
    """A release: a folder, or a repository on the Hub. Not given: the embedded weights."""
    sizes: tuple[int, ...] = (128, 256)
    """Sides of the pictures in pixels."""
    threads: tuple[int, ...] = (1, 2)
    """How many threads WebAssembly may use."""
    turns: int = 6
    """Turns that the page's graph and the plain one take."""
    pictures: int = 5
    """Pictures of a turn."""
    seconds: float = 10
    """How long Live is counted at each size; 0 leaves Live and Draw out."""
    minutes: int = 0
    """How many minutes Live runs while the tab's memory is measured."""
    runtime: Path | None = None
    """The `dist` folder of onnxruntime-web. Not given: it is fetched from npm's registry."""
    json: bool = False
    """Print JSON instead of the tables."""


class Server(http.server.ThreadingHTTPServer):
    """A static host, with the headers that threads need or without. It counts what it is asked and what it sends.

    Attributes:
        changes: by a part of the path, what to do to the file.
    """

    def __init__(self, folder: Path, isolated: bool) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.folder, self.isolated = folder, isolated
        self.asked: list[str] = []
        self.sent: list[tuple[float, int]] = []  # when, in seconds since 1970, and how many bytes
        self.changes: dict[str, Callable[[bytes], bytes]] = {}
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless a page that was closed broke off its download."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        for name, change in self.server.changes.items():
            if name in self.path:
                content = change((self.server.folder / self.path[1:]).read_bytes())
                self.send_response(200)
                self.send_header("Content-Type", self.guess_type(self.path))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
        super().do_GET()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length":
            self.server.sent.append((time.time(), int(value)))
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        if self.server.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(folder: Path, isolated: bool = True) -> Iterator[Server]:
    with Server(folder, isolated) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


PLAIN_RUNTIME = "ort.wasm.min.mjs", "ort-wasm-simd-threaded"
# Runs a plain export: the first message starts it, each one is answered with the milliseconds of a picture
PLAIN = """import * as ort from "./ort.wasm.min.mjs";
let session;
self.onmessage = async ({ data: { threads, model, conditions, size, values } }) => {
  ort.env.wasm.numThreads = threads;
  session ??= await ort.InferenceSession.create(new URL(model, import.meta.url).href, { executionProviders: ["wasm"] });
  const feeds = { picture: new ort.Tensor("float32", values, [1, 3, size, size]) };
  if (conditions) feeds.condition = new ort.Tensor("float32", new Float32Array(conditions), [1, conditions]);
  const since = performance.now();
  const { result } = await session.run(feeds);
  postMessage({ milliseconds: performance.now() - since, values: result.data });
};"""
# Lets the page's way and the plain one take turns on a picture -> milliseconds of each, and the pixels
TURNS = """async ({ threads, direction, size, pixels, turns, pictures }) => {
  const { Runner } = await import(new URL("modules/engine.js", location));
  const release = await (await fetch("release.json")).json();
  const image = new ImageData(Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0)), size, size);
  const runner = new Runner(release, location.href, { kind: "wasm", threads });
  const worker = new Worker("plain/worker.js", { type: "module" });
  const { conditions } = release.directions[direction];
  const area = size * size;
  const numbers = new Float32Array(3 * area).map((_, at) => image.data[4 * (at % area) + Math.floor(at / area)]);
  const ways = {
    "wasm": async () => {
      const { milliseconds, made } = await runner.convert(direction, image, { prepared: true });
      return { milliseconds, pixels: [...made.data] };
    },
    "wasm-plain": () => new Promise((done) => {
      worker.onmessage = ({ data: { milliseconds, values } }) => {
        const pixel = (_, at) => Math.round(((values[Math.floor(at / 4) + area * (at % 4)] ?? 1) + 1) * 127.5);
        done({ milliseconds, pixels: Array.from({ length: 4 * area }, pixel) });
      };
      const values = numbers.map((number) => number / 127.5 - 1);
      worker.postMessage({ threads, model: `${direction}.onnx`, conditions, size, values });
    }),
  };
  const [times, made] = [{}, {}];
  for (const way in ways) times[way] = [];
  for (let turn = 0; turn < turns; turn++) {
    for (const [way, run] of Object.entries(ways)) {
      made[way] = (await run()).pixels; // this one warms up
      for (let picture = 0; picture < pictures; picture++) times[way].push((await run()).milliseconds);
    }
  }
  runner.end();
  worker.terminate();
  return { times, made };
}"""
# The milliseconds from each touch of the pen to the next photo
DELAYS = """() => {
  window.delays = [];
  let since = null;
  document.querySelector(".pad").addEventListener("pointerdown", () => { since = performance.now(); });
  new MutationObserver(() => { if (since) delays.push(performance.now() - since); since = null; })
    .observe(document.querySelector("#draw .made"), { attributeFilter: ["data-count"] });
}"""
LONGEST = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
  }).observe({ type: "longtask" });
}"""


@torch.inference_mode()
def measure(page: Page, pipe: FaceSketchPipeline, folder: Path, options: Options) -> list[dict[str, Any]]:
    """The rows: each direction, number of threads and size."""
    plain = folder / "plain"
    shutil.copytree(options.runtime or fetch_runtime(*PLAIN_RUNTIME), plain)
    (plain / "worker.js").write_text(PLAIN)
    for direction, generator in pipe.generators.items():
        (plain / f"{direction}.onnx").write_bytes(to_onnx(generator).SerializeToString())
    rows = []
    for direction, generator in pipe.generators.items():
        for size in options.sizes:
            pixels = denormalise(sample(1, size))  # (1, 3, size, size)
            opaque = torch.cat([pixels[0], torch.full((1, size, size), 255, dtype=torch.uint8)]).permute(1, 2, 0)
            wanted = denormalise(generator(normalise(pixels)))[0].permute(1, 2, 0).numpy().astype(float)
            for threads in options.threads:
                task = {
                    "pixels": base64.b64encode(opaque.numpy().tobytes()).decode(),
                    "direction": direction,
                    "threads": threads,
                    "size": size,
                    "turns": options.turns,
                    "pictures": options.pictures,
                }
                found = page.evaluate(TURNS, task)
                for engine, times in found["times"].items():
                    made = np.array(found["made"][engine], float).reshape(size, size, 4)[..., :3]
                    p50, p95 = np.percentile(times, (50, 95))
                    rows.append(
                        {
                            "engine": engine,
                            "threads": threads,
                            "direction": direction,
                            "size": size,
                            "ms_p50": round(p50, 1),
                            "ms_p95": round(p95, 1),
                            "difference": round(float(np.abs(made - wanted).mean() / 127.5), 6),
                        }
                    )
    return rows


def visit(browser: Browser, server: Server) -> dict[str, Any]:
    """What the first visit costs until the first picture is there, and the second one in all."""
    server.sent.clear()
    with browser.new_context() as context:
        page = context.new_page()
        start = time.time()
        page.goto(server.url)
        page.locator("#photo_to_sketch .starts button").nth(1).click()
        panel = page.locator("#photo_to_sketch[data-first]")
        there = float(panel.get_attribute("data-first", timeout=120_000) or 0) / 1000
        sent = [size for at, size in server.sent if at <= there]  # later ones are for the other direction, and offline
        page.wait_for_selector("[data-ready=measured]", state="attached", timeout=120_000)
        page.evaluate("async () => { await navigator.serviceWorker.ready }")
        server.sent.clear()
        page.goto(server.url)
        page.locator("#photo_to_sketch .starts button").nth(1).click()
        page.wait_for_selector("[data-ready=measured]", state="attached", timeout=120_000)
    return {
        "bytes_compressed": sum(sent),
        "requests": len(sent),
        "seconds_to_first_picture": round(there - start, 2),
        "second_visit_bytes": sum(size for _, size in server.sent),
    }


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """A page that has converted a picture and chosen how to compute."""
    with browser.new_context(permissions=["camera"], bypass_csp=True) as context:
        page = context.new_page()
        page.goto(url)
        page.locator("#photo_to_sketch .starts button").nth(1).click()
        page.wait_for_selector("[data-ready=measured]", state="attached", timeout=120_000)
        yield page


def live(page: Page, size: int, seconds: float) -> dict[str, Any]:
    page.get_by_role("tab", name="Live").click()
    page.locator("select.live-size").select_option(str(size))
    page.get_by_role("button", name="Start the camera").click()
    time.sleep(3)
    page.evaluate(LONGEST)
    page.evaluate(COUNT.replace('".made"', '"#live .made"'))
    time.sleep(seconds)
    seen = page.evaluate("window.seen")
    longest = page.evaluate("window.longest")
    page.get_by_role("button", name="Stop").click()
    return {
        "size": size,
        "pictures_per_second": round(seen["distinct"] / seconds, 1),
        "median_delay_ms": round(float(np.median(seen["delays"] or [0]))),
        "longest_task_ms": round(longest),
    }


def memory(browser: Browser, url: str, minutes: int) -> list[dict[str, Any]]:
    """A tab's share of memory while Live runs in it, in megabytes, after a visit that converts a picture."""
    rows = []
    with opened(browser, url) as page:
        page.get_by_role("tab", name="Live").click()
        page.get_by_role("button", name="Start the camera").click()
        for minute in range(minutes + 1):
            processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
            tabs = [Path(f"/proc/{one['id']}/smaps_rollup") for one in processes if one["type"] == "renderer"]
            used = [
                int(line.split()[1]) for tab in tabs for line in tab.read_text().splitlines() if line.startswith("Pss:")
            ]
            rows.append({"minute": minute, "megabytes": round(max(used) / 1024)})
            if minute < minutes:
                time.sleep(60)
    return rows


def draw(page: Page) -> dict[str, Any]:
    """How long after the pen touches the paper its photo is there."""
    page.get_by_role("tab", name="Draw").click()
    page.locator("#draw .starts button").first.click()
    page.locator(".pad").scroll_into_view_if_needed()
    box = page.locator(".pad").bounding_box()
    assert box
    page.evaluate(DELAYS)
    for stroke in range(12):
        page.wait_for_timeout(1200)  # what was under way is done
        page.mouse.move(box["x"] + 60, box["y"] + 60 + 10 * stroke)
        page.mouse.down()
        page.mouse.up()
    page.wait_for_timeout(1200)
    delays = page.evaluate("window.delays")
    assert len(delays) == 12, "each stroke gives a photo"
    size = page.locator("#draw .made").evaluate("canvas => canvas.width")
    return {"size": size, "median_delay_ms": round(float(np.median(delays)))}


def main() -> None:
    options = tyro.cli(Options)
    pipe = FaceSketchPipeline.from_pretrained(options.weights, device="cpu")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch) / "site"
        export_web(pipe, folder, options.runtime)
        flags = film(Path(scratch) / "film.mjpeg")
        with (
            serving(folder) as server,
            playwright.chromium.launch(executable_path=find_chromium(), args=flags) as browser,
        ):
            found: dict[str, Any] = {"load": visit(browser, server)}
            with browser.new_context(permissions=["camera"], bypass_csp=True) as context:
                page = context.new_page()
                page.goto(f"{server.url}release.json")  # nothing else runs
                found = {"rows": measure(page, pipe, folder, options), **found}
            if options.seconds:
                with opened(browser, server.url) as page:
                    found["engine"] = page.locator("select.engine").input_value()
                    sizes = [one.get_attribute("value") for one in page.locator("select.live-size option").all()]
                    found["live"] = [live(page, int(size or 0), options.seconds) for size in sizes]
                    found["draw"] = draw(page)
            if options.minutes:
                found["memory"] = memory(browser, server.url, options.minutes)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, part in found.items():
        table = part if isinstance(part, list) else [part if isinstance(part, dict) else {name: part}]
        print(f"\n| {' | '.join(table[0])} |\n|{' --- |' * len(table[0])}")
        for row in table:
            print(f"| {' | '.join(map(str, row.values()))} |")


if __name__ == "__main__":
    main()
