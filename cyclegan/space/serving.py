"""Models that visitors share: the releases on offer, one queue for all conversions, and live streams."""

import asyncio
import io
import json
import math
import re
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

from huggingface_hub import hf_hub_download
from PIL import Image
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..directions import Direction
from ..faces import find_face
from ..hub.client import HTTP_ERRORS, list_revisions, split_revision
from ..images import ImageError, open_image
from ..palette import ChoiceError
from ..pipeline import FaceSketchPipeline
from ..release import EMBEDDED, HubUnreachableError, WeightsError

MAX_FRAME = 2**20  # bytes of a picture of a live stream
LIVE_PIXELS = 4_000_000  # of it: more than a camera's frame has
LIVE_SIZES = (256, 512)  # of an answer, in pixels, where the release's own is not wanted
LOOK = 0.3  # seconds between two looks for the face in a live stream
Result = TypeVar("Result")


def stream_choices(direction: str, asked: Mapping[str, str], pipe: FaceSketchPipeline) -> dict[str, Any]:
    """What the address of a live stream chooses, as the pipeline's method of this direction takes it.

    Raises:
        ChoiceError: there is no such direction, style, size or answer to `faces`.
    """
    if direction not in [*Direction]:
        raise ChoiceError(f"There is no direction {direction!r:.80}; it is {' or '.join(Direction)}.")
    if (faces := asked.get("faces", "")) not in ("", "yes"):
        raise ChoiceError(f"faces is yes, or left out; got {faces!r:.80}.")
    choices: dict[str, Any] = {}
    if size := asked.get("size"):
        if size not in map(str, LIVE_SIZES):
            raise ChoiceError(f"size is one of {', '.join(map(str, LIVE_SIZES))} pixels; got {size!r:.80}.")
        choices["size"] = int(size)
    style = asked.get("style")
    if not style:
        return choices
    if Direction(direction).target != "sketch":
        raise ChoiceError(f"Only sketches have a style. Leave out style={style!r:.80}, or ask for photo_to_sketch.")
    pipe.style_condition(style)
    return choices | {"style": style}


def place_face(picture: Image.Image) -> list[float] | None:
    """Find the largest face: left, top and side of its square in shorter sides of the picture."""
    found = find_face(picture)
    if found is None:
        return None
    x, y, side = (length / min(picture.size) for length in found)
    return [round(length, 3) for length in (x - side / 2, y - side / 2, side)]


class Models:
    """The releases on offer, each loaded once, and the thread that runs them.

    There is one thread, so that everybody waits in one queue and PyTorch has one pool of threads, not one per visitor.

    Args:
        weights: the first release to show: a folder or USER/REPO[@REVISION]. If the Hub cannot be reached, the embedded
            weights are shown. The tags of the repository and the embedded weights are on offer as well.
        engine: as in `FaceSketchPipeline`. With `auto`, torch runs each release until the fastest engine is found.

    Attributes:
        offers: the weights behind each name. Visitors choose from the names and never see a path.

    Raises:
        WeightsError: the release cannot be loaded.
    """

    def __init__(self, weights: str, engine: str = "torch") -> None:
        self.load = lru_cache(maxsize=3)(partial(self._load, engine=engine))
        self._finding = Lock()
        self.warming = 0  # releases for which the fastest engine is looked for
        self._thread = ThreadPoolExecutor(1, "model")
        self._decoders = ThreadPoolExecutor(2, "decoder")  # of live streams: a slow picture keeps no model waiting
        try:
            first = self.load(weights)
        except HubUnreachableError as error:
            warnings.warn(f"{error} The app shows the embedded weights instead.", stacklevel=2)
            first = self.load(weights := str(EMBEDDED))
        self.image_size = first.image_size
        commit = f", commit {first.revision[:7]}" if first.revision else ""
        self.offers = {f"{first.source}{commit}": weights}
        if first.revision:
            repo, _ = split_revision(weights)
            self.offers |= {name: name for tag in list_revisions(repo) if (name := f"{repo}@{tag}") != weights}
        self.offers.setdefault("embedded weights", str(EMBEDDED))
        self.first = next(iter(self.offers))

    def _load(self, weights: str, engine: str) -> FaceSketchPipeline:
        if engine != "auto":
            return FaceSketchPipeline.from_pretrained(weights, engine=engine)
        pipe = FaceSketchPipeline.from_pretrained(weights)

        def find_fastest() -> None:
            with self._finding:  # for one release at a time
                try:
                    pipe.find_fastest()
                except Exception as error:  # whatever it is, there is always torch
                    warnings.warn(f"No faster engine was found for {pipe.source}: {error}", stacklevel=1)
            self.warming -= 1

        self.warming += 1
        Thread(target=find_fastest, name="engines", daemon=True).start()
        return pipe

    def run(self, function: Callable[[FaceSketchPipeline], Result], name: str) -> "Future[Result]":
        """Call `function` with the pipeline of that name when its turn has come.

        Raises:
            WeightsError: there is none of that name on offer.
        """
        weights = self._weights(name)
        return self._thread.submit(lambda: function(self.load(weights)))

    def release(self, name: str) -> FaceSketchPipeline:
        """Return the pipeline of that name, to look at; `run` and `convert` are for pictures.

        Raises:
            WeightsError: there is none of that name on offer.
        """
        return self.load(self._weights(name))

    def _weights(self, name: str) -> str:
        if name not in [*self.offers]:  # a list, since what a raw request sends may be unhashable
            raise WeightsError(f"The weights {name!r} are not available here. Choose from {', '.join(self.offers)}.")
        return self.offers[name]

    def convert(self, direction: Direction, name: str, pictures: Any, **choices: Any) -> Any:
        """Convert one picture, or a list, in turn.

        Args:
            choices: the framing, the style and so on, as the pipeline's method of this direction takes them.

        Raises:
            ImageError, ChoiceError, WeightsError: as the pipeline does.
        """
        return self.run(lambda pipe: getattr(pipe, direction)(pictures, **choices), name).result()

    def figures(self, name: str) -> str:
        """Return the figures in the model card of a release, as Markdown, or an empty string.

        This loads the release, which may take a while and must not keep other visitors waiting.
        """
        weights = self._weights(name)
        revision = self.load(weights).revision
        try:
            card = Path(
                hf_hub_download(split_revision(weights)[0], "README.md", revision=revision)
                if revision
                else f"{weights}/README.md"
            ).read_text(encoding="utf-8")
        except HTTP_ERRORS:
            return ""
        found = re.search(r"^## Figures\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE)
        return found[1] if found else ""

    async def live(self, socket: WebSocket) -> None:
        """Convert the pictures of a stream in order. Each JPEG is answered with a JPEG, or a sentence on an error.

        A client sends the next picture when an answer arrives, so it always sends its newest, and viewers take turns.
        The address may choose `weights`, the `style` of sketches, the `size` of answers, and `faces=yes`: a few times a
        second, an answer then follows the JSON {"face": [left, top, side]} in shorter sides of the picture that was
        sent, or {"face": null}.
        """
        await socket.accept()
        direction, asked = socket.path_params["direction"], socket.query_params
        name = asked.get("weights") or self.first
        try:
            choices = await asyncio.wrap_future(self.run(partial(stream_choices, direction, asked), name))
        except (ChoiceError, WeightsError) as error:
            await socket.send_text(str(error))
            await socket.close(1008)
            return
        next_look = 0.0 if asked.get("faces") else math.inf

        def decode(data: bytes | None, look: bool) -> tuple[Image.Image, str]:
            if data is None:
                raise ImageError("This is text. Send each picture as the bytes of a JPEG or PNG file.")
            if len(data) > MAX_FRAME:
                raise ImageError(f"A picture of {len(data):,} bytes is too large for a live stream.")
            picture = open_image(data, limit=LIVE_PIXELS, apart=True)
            return picture, json.dumps({"face": place_face(picture)}) if look else ""

        def answer(picture: Image.Image, pipe: FaceSketchPipeline) -> bytes:
            converted = io.BytesIO()
            getattr(pipe, direction)(picture, **choices).save(converted, "JPEG", quality=90)
            return converted.getvalue()

        with suppress(WebSocketDisconnect):
            while (message := await socket.receive())["type"] == "websocket.receive":
                look = time.monotonic() >= next_look
                try:
                    picture, face = await asyncio.wrap_future(self._decoders.submit(decode, message.get("bytes"), look))
                    if look:
                        await socket.send_text(face)
                        next_look = time.monotonic() + LOOK
                    await socket.send_bytes(await asyncio.wrap_future(self.run(partial(answer, picture), name)))
                except (ImageError, WeightsError) as error:
                    await socket.send_text(str(error))
