"""The pictures of visitors: how they are read, framed, written and deleted."""

import base64
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from PIL import Image
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..faces import Frame, Framing, Size, frame, frame_square
from ..images import ImageError, open_image

FRAMINGS = ("face", "middle", "whole")
OPENED = 640  # pixels of the shorter side to which a picture is opened: enough to find a face and to convert it
MAX_RATIO = 8  # of a picture's sides: what is thinner shows no face
KEPT, SWEPT = 3000, 300  # seconds that files of visitors stay, and between two looks: within the hour all are gone
QUOTA = 2 * 2**30  # bytes of all their files together
NO_PICTURE = (
    'This is not a picture. Send {"path": ...} of a file that was uploaded to this app, or {"url": '
    '"data:image/png;base64,..."}. Pictures at other addresses are not fetched.'
)
MAX_REQUEST = 16 * 2**20  # bytes of a request that is no upload
TOO_LARGE = f"A request may have {MAX_REQUEST >> 20} MB. Upload the picture first, and send the path that you get."
NOT_UPLOADED = "This picture was not uploaded to this app. Upload it first."
Square = list[float]  # left, top and side, each in shorter sides of the picture


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for the app's files, which is deleted at the end, also if a thread is still writing into it."""
    own = Path(tempfile.mkdtemp(prefix="face-sketch-"))
    try:
        yield own
    finally:
        left = own.with_name(f"{own.name}-left")
        with suppress(OSError):  # it may be gone, or in use where that forbids renaming
            own.rename(left)
            own.touch()  # a file, in which no thread can make folders
        for path in (left, own):
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            own.unlink()


def folder() -> Path:
    """Return the folder that holds all files of visitors, and no other."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


class LimitRequests:
    """Refuse what is larger than MAX_REQUEST, but for uploads, which Gradio limits.

    Gradio (6.31) keeps what was sent last in each of its sessions, and makes one for each request of an API client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_REQUEST:
                raise HTTPException(413, TOO_LARGE)
            return message

        free = scope["type"] != "http" or scope["path"].endswith("/upload")
        await self.app(scope, receive if free else limited, send)


def was_uploaded(path: str) -> bool:
    with suppress(OSError, ValueError):  # what is no path
        return Path(path).resolve().is_relative_to(folder().resolve())
    return False


def read_upload(sent: Any) -> tuple[Image.Image, str]:
    """Open a picture that a visitor or an API client sent: the picture, and its name without the ending.

    It follows the project's own rules, since Gradio's own reading has others and (6.31) opens any picture on this
    machine whose path is sent without `meta`. The events receive it unchanged, with `preprocess=False`. A `preprocess`
    set on an instance is lost in a visitor's session as soon as an example is chosen.

    Raises:
        ImageError: it is no picture, or it was not sent to this app.
    """
    sent = sent if isinstance(sent, dict) else {}
    name, path, url = (given if isinstance(given := sent.get(key), str) else "" for key in ("orig_name", "path", "url"))
    if path:
        if not was_uploaded(path):
            raise ImageError(NOT_UPLOADED)
        picture = open_image(path, name or "This picture", OPENED, apart=True)
    elif url.startswith("data:"):  # of an API client
        sent["url"] = None  # or Gradio (6.31) keeps the text as long as the session
        try:
            content = base64.b64decode(url.partition(",")[2])
        except ValueError:
            raise ImageError("This picture is no valid base64: send data:image/png;base64,... as its url.") from None
        picture = open_image(content, size=OPENED, apart=True)
    else:
        raise ImageError(NO_PICTURE)
    if max(picture.size) > MAX_RATIO * min(picture.size):
        raise ImageError(
            f"{name or 'This picture'} is {picture.width} x {picture.height} pixels, which is too thin to show a face. "
            "Crop it to the face first."
        )
    return picture, Path(name or path or "picture").stem


def read_pair(sent: Any) -> tuple[Image.Image, Image.Image, str]:
    """Open the two pictures of a slider, which are what was given and what was made of it, and return its name."""
    if not isinstance(sent, list | tuple) or len(sent) != 2:
        raise ImageError("This needs two pictures: the input and its result.")
    (before, name), (after, _) = map(read_upload, sent)
    return before, after, name


def write(picture: Image.Image, name: str = "face") -> str:
    """Write a picture for a visitor, as `name`.png in a folder of its own, and return the path.

    Gradio (6.31) names files after their content, and rewrites a file while it sends it to another visitor.

    Raises:
        ImageError: the disk is full, or refuses otherwise.
    """
    safe = "".join(letter if letter.isalnum() or letter in "-_ " else "_" for letter in name)[:60].strip() or "face"
    try:
        path = Path(tempfile.mkdtemp(dir=folder())) / f"{safe}.png"
        picture.save(path)
    except OSError as error:  # visitors see no path of this machine
        raise ImageError(f"The app cannot store your result: {error.strerror or error}. Try again later.") from None
    return str(path)


def choose(picture: Image.Image, framing: str, own: Any, size: Size) -> list[Frame]:
    """Choose what is converted of a picture.

    Args:
        framing: one of FRAMINGS, `faces` for all of them, or `own` for the visitor's own square; the middle if there is
            none.
        size: as in `faces.frame`.

    Raises:
        ImageError: there is no such framing, or the square is none.
    """
    if framing not in (*FRAMINGS, "faces", "own"):
        raise ImageError(f"framing must be {', '.join(FRAMINGS)} or own; got {framing!r:.80}.")
    if framing != "own":
        return frame(picture, cast(Framing, framing), size)
    if not own:
        return frame(picture, "middle", size)
    left, top, side = (min(picture.size) * length for length in _checked(own))
    return [frame_square(picture, left + side / 2, top + side / 2, side, size)]


def _checked(own: Any) -> Square:
    """A visitor's own square, which a raw request may have made of anything."""
    numbers = isinstance(own, list) and len(own) == 3 and all(type(length) in (int, float) for length in own)
    if not numbers or not all(abs(length) <= MAX_RATIO for length in own) or own[2] <= 0:  # NaN is refused too
        raise ImageError(
            "The square must be [left, top, side] in shorter sides of the picture, such as [0, 0.1, 0.8]; "
            f"got {own!r:.80}."
        )
    return own


def cut_out(picture: Image.Image, chosen: Frame) -> Image.Image:
    """Return the part of a picture that was chosen, as it is."""
    if chosen.square is None:
        return picture
    left, top, side = chosen.square
    return picture.crop((left, top, left + side, top + side))


def sweep(folder: Path, kept: set[Path], older_than: float, quota: int = QUOTA) -> None:
    """Delete old files of visitors, the oldest until the others fit in the quota, and folders that are empty.

    Gradio's own `delete_cache` (6.31) stops for good if a file arrives while it looks.
    """
    found: list[tuple[float, Path, int]] = []
    for path in set(folder.rglob("*")) - kept:
        with suppress(OSError):
            status = path.stat()
            if not path.is_dir():
                found.append((status.st_ctime, path, status.st_size))
            elif abs(time.time() - status.st_ctime) > older_than:
                path.rmdir()  # fails if it is not empty
    used = sum(size for _, _, size in found)
    for changed, path, size in sorted(found):
        if abs(time.time() - changed) > older_than or used > quota:  # the clock may have jumped either way
            with suppress(OSError):
                path.unlink()
                used -= size


def keep_swept(folder: Path, apart: Path) -> None:
    """Sweep a folder for ever; what lies in it now, and what lies in `apart`, stays."""
    kept = {*folder.rglob("*"), apart}
    while True:
        time.sleep(SWEPT)
        with suppress(Exception):  # whatever it is, the next time it may go
            sweep(folder, kept | {*apart.rglob("*")}, KEPT)
