"""Untrusted picture files -> PIL images. This module imports no torch, so that a process of its own can start quickly.

Pillow reads over forty formats. Some run other programs or are decoded slowly in Python, so only FORMATS are opened.
"""

import io
import math
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore
from typing import BinaryIO

import numpy as np
from PIL import Image

with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()

ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
    *(".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"),
}
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")  # MPO is opened as JPEG
MAX_PIXELS = 100_000_000  # more than any phone camera makes by default; 300 MB as RGB
MIN_SIDE = 4
REDUCING_GAP = 3  # a picture is shrunk cheaply to this many times its new size, and then by bicubic filtering
SLOW_PIXELS = 1_000_000  # limit of what Pillow decodes in Python: up to 1.3 s
APART_PIXELS = 16_000_000  # what is larger is decoded in a process of its own, if this is asked for
APART_SECONDS = 20
APART_BYTES = 3 * 2**30  # of address space
_APART = BoundedSemaphore(2)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture cannot be used. The message explains why to the person who gave it."""


def decode(
    source: str | Path | bytes | Image.Image, name: str, size: int, limit: int = MAX_PIXELS, apart: bool = False
) -> Image.Image:
    """Decode a picture into upright 8-bit RGB, with transparency over white. `open_image` documents the arguments.

    Raises:
        ImageError: the picture is too small or too large. Pillow's decoders raise nearly anything else.
    """
    if isinstance(source, Image.Image):
        _check_size(source.size, name, limit)
        return _to_rgb(_turn(source, _orientation(source)))
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        if claimed := _webp_size(file):
            _check_size(claimed, name, limit)
        with Image.open(file, formats=_formats()) as image:
            _check_size(image.size, name, limit)
            if any(tile[0] in Image.DECODERS for tile in image.tile):  # those are written in Python
                _check_size(image.size, name, min(limit, SLOW_PIXELS))
            image.draft(None, (REDUCING_GAP * size, REDUCING_GAP * size))
            # The scans of a progressive JPEG are without number, and each costs a pass over the whole picture
            if apart and (math.prod(image.size) > APART_PIXELS or image.info.get("progressive")):
                file.seek(0)
                return _decode_apart(file.read(), size)
            orientation = 1
            if image.format == "TIFF":  # it turns itself, and fails where another tag is odd
                orientation = _orientation(image)
                with suppress(Exception):
                    image.getexif()[0x0112] = 1
            image.load()  # before EXIF is read, since a PNG would be loaded for that, and its damage swallowed
            if image.format != "TIFF":
                orientation = _orientation(image)
        return _to_rgb(_turn(image, orientation))


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # HEIF comes with pillow-heif


def _check_size(size: tuple[int, int], name: str, limit: int) -> None:
    width, height = size
    if width * height > limit:
        raise ImageError(
            f"{name} is {width} x {height} pixels, over the limit of {limit // 10**6} million. Make it smaller first."
        )
    if min(size) < MIN_SIDE:
        raise ImageError(
            f"{name} is {width} x {height} pixels, which is too small to show anything. "
            f"Use a picture of at least {MIN_SIDE} x {MIN_SIDE}."
        )


def _webp_size(file: BinaryIO) -> tuple[int, int] | None:
    """Read the size that a WebP file claims. Pillow (12) allocates the whole picture before it tells.

    Source: https://developers.google.com/speed/webp/docs/riff_container
    """
    start = file.read(30)
    file.seek(0)
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return None
    if start[12:16] == b"VP8X":
        return int.from_bytes(start[24:27], "little") + 1, int.from_bytes(start[27:30], "little") + 1
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(start[26:28], "little") & 0x3FFF, int.from_bytes(start[28:30], "little") & 0x3FFF


def _orientation(image: Image.Image) -> int:
    """Read the only EXIF tag that is needed; 1, upright, where there is none or it makes no sense."""
    with suppress(Exception):  # EXIF of all sorts is about, and a picture with odd tags is still a picture
        return int(image.getexif().get(0x0112, 1))
    return 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits, or numbers whose range only they can tell
        values = np.asarray(image, np.float32)
        white = 65535 if image.mode.startswith("I;16") or values.max() > 255 else 255 if values.max() > 1 else 1
        image = Image.fromarray((values * (255 / white)).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _decode_apart(data: bytes, size: int) -> Image.Image:
    """Decode a picture in a process that is limited in time and memory, and shrink it there.

    Raises:
        OSError: it is damaged, or takes too much time or memory.
    """
    if not _APART.acquire(timeout=APART_SECONDS):
        raise OSError("too many large pictures are being opened")
    try:
        command = [sys.executable, "-P", __file__, str(size)]  # -P: what lies beside this file hides no other module
        done = subprocess.run(command, input=data, capture_output=True, timeout=APART_SECONDS)
    except subprocess.TimeoutExpired:
        raise OSError(f"it takes over {APART_SECONDS} seconds to open") from None
    finally:
        _APART.release()
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip() or "it takes too much memory to open")
    start, _, pixels = done.stdout.partition(b"\n")
    width, height = map(int, start.split())
    return Image.frombytes("RGB", (width, height), pixels)


def _main(size: int) -> None:
    """Picture file on standard input -> width, height and RGB pixels on standard output."""
    with suppress(ImportError, ValueError):  # Windows sets no limits
        import os
        import resource

        os.nice(5)  # behind those who want an answer from the model
        resource.setrlimit(resource.RLIMIT_AS, (APART_BYTES, APART_BYTES))
    try:
        image = decode(sys.stdin.buffer.read(), "", size)
        image = image.reduce(max(1, min(image.size) // (REDUCING_GAP * size)))
        sys.stdout.buffer.write(b"%d %d\n" % image.size + image.tobytes())
    except MemoryError:
        sys.exit("it takes too much memory to open")
    except Exception as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(int(sys.argv[1]))
