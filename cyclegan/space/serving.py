"""Models that visitors share: the releases on offer, one queue for all conversions, and live streams."""

import asyncio
import io
import re
import warnings
from collections.abc import Callable
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
from ..hub.client import HTTP_ERRORS, list_revisions, split_revision
from ..images import ImageError, open_image
from ..pipeline import FaceSketchPipeline
from ..release import EMBEDDED, HubUnreachableError, WeightsError

MAX_FRAME = 2**20  # bytes of a picture of a live stream
LIVE_PIXELS = 4_000_000  # of it: more than a camera's frame has
Result = TypeVar("Result")


class Models:
    """The releases on offer, each loaded once, and the thread that runs them.

    There is one thread, so that everybody waits in one queue and PyTorch has one pool of threads, not one per visitor.

    Args:
        weights: the first release to show: a folder or USER/REPO[@REVISION]. If the Hub cannot be reached, the embedded
            weights are shown. The tags of the repository and the embedded weights are on offer as well.
        engine: as in `FaceSketchPipeline`. With `auto`, torch runs each release at first, since it takes half a minute
            to find the fastest engine.

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
        """
        direction, name = socket.path_params["direction"], socket.query_params.get("weights") or self.first
        await socket.accept()
        if direction not in [*Direction] or name not in self.offers:
            await socket.close(1008, "Unknown direction or weights.")
            return

        def decode(data: bytes | None) -> Image.Image:
            if data is None:
                raise ImageError("This is text. Send each picture as the bytes of a JPEG or PNG file.")
            if len(data) > MAX_FRAME:
                raise ImageError(f"A picture of {len(data):,} bytes is too large for a live stream.")
            return open_image(data, limit=LIVE_PIXELS, apart=True)

        def answer(picture: Image.Image, pipe: FaceSketchPipeline) -> bytes:
            converted = io.BytesIO()
            getattr(pipe, direction)(picture).save(converted, "JPEG", quality=90)
            return converted.getvalue()

        with suppress(WebSocketDisconnect):
            while (message := await socket.receive())["type"] == "websocket.receive":
                try:
                    picture = await asyncio.wrap_future(self._decoders.submit(decode, message.get("bytes")))
                    await socket.send_bytes(await asyncio.wrap_future(self.run(partial(answer, picture), name)))
                except (ImageError, WeightsError) as error:
                    await socket.send_text(str(error))
