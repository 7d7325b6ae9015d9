"""Untrusted picture files -> PIL images. This module imports no torch, so that a process of its own starts quickly.

Pillow reads over forty formats. Some run other programs or are decoded slowly in Python, so only FORMATS are opened.
"""

import io
import json
import math
import re
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore

import numpy as np
from PIL import Image, UnidentifiedImageError

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
# What is larger is decoded in a process of its own, if this is asked for: smaller pictures take a tenth of a second
QUICK_PIXELS, QUICK_BYTES = 2_100_000, 2**21  # a picture in full HD
APART_SECONDS, APART_CPU_SECONDS = 30, 10
APART_BYTES = 3 * 2**30  # of address space
APART = 4  # such processes at once
_apart = BoundedSemaphore(APART)
_spare: list["subprocess.Popen[bytes]"] = []  # started beforehand, since that takes longer than most pictures
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Openable = str | Path | bytes | Image.Image


class ImageError(ValueError):
    """A picture cannot be used. The message explains why to the person who gave it."""


def open_image(
    source: Openable, name: str = "", size: int = MAX_PIXELS, limit: int = MAX_PIXELS, apart: bool = False
) -> Image.Image:
    """Read an untrusted picture and bring it into one form: upright, RGB, 8 bits, transparency over white.

    Args:
        source: a path, the bytes of a file, or a PIL image. Of an animation the first frame is taken.
        name: what to call the picture in an error; a path calls itself.
        size: to what shorter side the picture will be resized. A JPEG of six times that and more is unpacked at a
            half, quarter or eighth of its size, which is several times as fast and changes `resize_to`'s pixels by
            0.2 of 255 on average.
        limit: how many pixels the picture may have; what has more is not decoded.
        apart: decode what may be slow, large or dangerous in a process of its own, which is ended where it takes too
            much time or memory.

    Raises:
        ImageError: the picture is missing, damaged, no picture at all, too small or too large.
    """
    name = name or (str(source) if isinstance(source, str | Path) else "This picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; the limit is what counts
            return _open(source, name, size, limit, apart)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture in a supported format. Use a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name} unpacks to over the limit of {limit // 10**6} million pixels. Make it smaller first."
        ) from None
    except MemoryError:
        raise ImageError(f"{name} takes too much memory to open. Make it smaller first.") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        if isinstance(error, OSError) and error.errno:  # the file system's, not Pillow's
            raise ImageError(f"{name} cannot be read: {error.strerror}.") from None
        reason = " ".join(str(error).split())
        raise ImageError(f"{name} is cut off or damaged ({reason:.200}). Save or download it again.") from None


def _open(source: Openable, name: str, size: int, limit: int, apart: bool) -> Image.Image:
    if isinstance(source, Image.Image):
        _check_size(source.size, name, limit)
        return _to_rgb(_turn(source, _tagged_orientation(source)))
    if not isinstance(source, bytes) and "\0" in str(source):
        raise ImageError(f"{name!r} cannot be read: no path holds a NUL.")
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not content:
        raise ImageError(f"{name} is empty. Save or download it again.")
    if claimed := _webp_size(content):
        _check_size(claimed, name, limit)
    if apart and _may_be_slow(content):
        return _open_apart(content, name, size, limit)
    if content[4:8] == b"ftyp":
        content = _without_exif(content)
    with Image.open(io.BytesIO(content), formats=_formats()) as image:
        _check_size(image.size, name, limit)
        in_python = any(tile[0] in Image.DECODERS for tile in image.tile)
        if in_python:
            _check_size(image.size, name, min(limit, SLOW_PIXELS))
        image.draft(None, (REDUCING_GAP * size, REDUCING_GAP * size))
        # The scans of a progressive JPEG are without number, and each costs a pass over the whole picture
        if apart and (in_python or math.prod(image.size) > QUICK_PIXELS or image.info.get("progressive")):
            return _open_apart(content, name, size, limit)
        orientation = 1
        if image.format == "TIFF":  # it turns itself, and fails where another tag is odd
            orientation = _tagged_orientation(image)
            with suppress(Exception):
                image.getexif()[0x0112] = 1
        image.load()  # before EXIF is read, since that of a PNG may come last
        if image.format != "TIFF":
            orientation = _read_orientation(image.info.get("exif") or b"")
    return _to_rgb(_turn(image, orientation))


def _may_be_slow(content: bytes) -> bool:
    """Whether a file must not even be opened here: formats whose decoders may take any time, and long headers."""
    return (
        len(content) > QUICK_BYTES
        or content[4:8] == b"ftyp"  # HEIC and AVIF
        or content[:2] in (b"II", b"MM")  # TIFF
        or content.count(b"Exif\0\0") > 1  # whose tags may hold each other's values: 50 MB become 100 GB
    )


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


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Read the size that a WebP file claims. Pillow (12) allocates the whole picture before it tells.

    Source: https://developers.google.com/speed/webp/docs/riff_container
    """
    start = content[:30]
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return None
    if start[12:16] == b"VP8X":
        return int.from_bytes(start[24:27], "little") + 1, int.from_bytes(start[27:30], "little") + 1
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(start[26:28], "little") & 0x3FFF, int.from_bytes(start[28:30], "little") & 0x3FFF


def _without_exif(content: bytes) -> bytes:
    """Let the EXIF of an AVIF or HEIC file begin nowhere: there, the file itself says how it is turned.

    Pillow (12) merges the two, and fails where a tag is odd.
    """
    return re.sub(rb"((?:\0\0\0\0|Exif\0\0)(?:II\*\0|MM\0\*))....", rb"\1" + 4 * b"\xff", content, flags=re.DOTALL)


def _read_orientation(exif: bytes) -> int:
    """Read the only EXIF tag that is needed; 1, upright, where there is none or it makes no sense.

    Pillow reads all tags, and gives up at one that is odd. Source: EXIF 2.32 (CIPA DC-008), section 4.6.2.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = "little" if exif[:2] == b"II" else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(exif[at : at + length], order)  # type: ignore[arg-type]

    start = number(4, 4)
    for entry in range(start + 2, min(start + 2 + 12 * number(start, 2), len(exif)), 12):
        if number(entry, 2) == 0x0112:
            return number(entry + 8, {1: 1, 4: 4}.get(number(entry + 2, 2), 2))  # a byte, a long, or as it should be
    return 1


def _tagged_orientation(image: Image.Image) -> int:
    with suppress(Exception):
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


def _start() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", __file__]  # -P: what lies beside this file hides no other module
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )  # what a library warns of is not for the visitor


def _open_apart(content: bytes, name: str, size: int, limit: int) -> Image.Image:
    """Open a picture in a process that is limited in time and memory, and shrink it there.

    Raises:
        ImageError: as in `open_image`, or it takes too much time or memory.
    """
    if not _apart.acquire(timeout=APART_SECONDS):
        raise ImageError(
            f"{name} cannot be opened now, because other large pictures are being opened. Send it again in a minute."
        )
    process = None
    try:
        with suppress(IndexError):
            process = _spare.pop()
        if process is None or process.poll() is not None:
            process = _start()
        request = json.dumps([name, size, limit]).encode() + b"\n"
        answer, _ = process.communicate(request + content, timeout=APART_SECONDS)
    except subprocess.TimeoutExpired:
        answer = b""
    finally:
        if process and process.poll() is None:
            process.kill()
            process.communicate()
        _apart.release()
        with suppress(OSError):
            _spare.append(_start())
    told, _, pixels = answer.partition(b"\n")
    if not told:  # it was ended
        raise ImageError(f"{name} takes too much time or memory to open. Save it as a smaller JPEG or PNG file.")
    found = json.loads(told)
    if isinstance(found, str):
        raise ImageError(found)
    return Image.frombytes("RGB", tuple(found), pixels)


def _main() -> None:
    """A request and a picture file on standard input -> its size and RGB pixels, or a sentence, on standard output."""
    with suppress(ImportError, ValueError):  # Windows sets no limits
        import os
        import resource

        os.nice(5)  # behind those who want an answer from the model
        resource.setrlimit(resource.RLIMIT_AS, (APART_BYTES, APART_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (APART_CPU_SECONDS, APART_CPU_SECONDS))
    request = sys.stdin.buffer.readline()
    if not request:  # it was not needed
        return
    name, size, limit = json.loads(request)
    try:
        image = open_image(sys.stdin.buffer.read(), name, size, limit)
        image = image.reduce(max(1, min(image.size) // (REDUCING_GAP * size)))
    except ImageError as error:
        sys.stdout.write(json.dumps(str(error)) + "\n")
    else:
        sys.stdout.buffer.write(json.dumps(image.size).encode() + b"\n" + image.tobytes())


if __name__ == "__main__":
    _main()
