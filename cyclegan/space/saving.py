"""The forms of a result that a browser cannot make itself. Nothing is kept: the picture comes, and its form goes."""

import io
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..images import ImageError, open_image, resize_to

MAX_BYTES, MAX_PIXELS = 16 * 2**20, 8_000_000  # of a picture that is sent
TRACED, ANIMATED = 768, 384  # pixels of the shorter side of what is traced, and of an animation
DARK, DARKER, AROUND = 110, 14, 19  # what is traced: these greys, and what is so much darker than the pixels around it
A5, MARGIN, DPI = (1748, 2480), 118, 300  # 148 x 210 mm and 10 mm in pixels
HELD, FADED, STEPS = 900, 80, 6  # milliseconds of a picture and of a step between two, and how many steps there are
MOMENTS, MOMENT, END = 60, 150, 1500  # of a replay: how many at most, and the milliseconds of each and of the last one


def trace(picture: Image.Image) -> bytes:
    """Turn the lines of a sketch into filled outlines: black on a transparent ground, as an SVG."""
    import vtracer  # not every installation has it

    grey = resize_to(picture, TRACED).convert("L").filter(ImageFilter.GaussianBlur(1))  # its outlines are smoother
    around = np.asarray(grey.filter(ImageFilter.GaussianBlur(AROUND)), np.int16)
    lines = (np.asarray(grey) < DARK) | (around - np.asarray(grey) > DARKER)  # pencil may be pale
    large = io.BytesIO()
    Image.fromarray(np.where(lines, np.uint8(0), np.uint8(255))).save(large, "PNG")
    drawing: str = vtracer.convert_raw_image_to_svg(large.getvalue(), "png", colormode="binary", path_precision=1)
    sides = f'width="{grey.width}" height="{grey.height}"'
    return drawing.replace(sides, f'{sides} viewBox="0 0 {grey.width} {grey.height}"', 1).encode()


def animate(pair: Image.Image) -> bytes:
    """Fade from the left half of a picture to the right one and back, as a GIF without an end."""
    middle = pair.width // 2
    before, after = (
        resize_to(pair.crop((left, 0, left + middle, pair.height)), min(ANIMATED, middle, pair.height))
        for left in (0, middle)
    )
    fade = [Image.blend(before, after, step / STEPS) for step in range(1, STEPS)]
    frames = [before, *fade, after, *reversed(fade)]
    times = [FADED] * len(frames)
    times[0] = times[STEPS] = HELD
    return _gif(frames, times)


def replay(strip: Image.Image) -> bytes:
    """Show moments that lie below one another, each twice as wide as high, as a GIF without an end."""
    height = max(1, strip.width // 2)
    tops = range(0, max(1, strip.height - height + 1), height)[:MOMENTS]
    frames = [strip.crop((0, top, strip.width, top + height)) for top in tops]
    return _gif(frames, [*(len(frames) - 1) * [MOMENT], END])


def _gif(frames: list[Image.Image], times: list[int]) -> bytes:
    made = io.BytesIO()
    frames[0].save(made, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return made.getvalue()


def lay_out(picture: Image.Image) -> bytes:
    """Put a picture on a page of A5, upright or across as the picture is, as a PDF."""
    page = A5[::-1] if picture.width > picture.height else A5
    room = (page[0] - 2 * MARGIN, page[1] - 2 * MARGIN)
    fitted = ImageOps.contain(picture, room, Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", page, "white")
    sheet.paste(fitted, ((page[0] - fitted.width) // 2, (page[1] - fitted.height) // 2))
    made = io.BytesIO()
    sheet.save(made, "PDF", resolution=DPI, quality=95)
    return made.getvalue()


FORMS = {"gif": (animate, "image/gif"), "pdf": (lay_out, "application/pdf"), "replay": (replay, "image/gif")}
if find_spec("vtracer"):
    FORMS["svg"] = (trace, "image/svg+xml")
_worker = ThreadPoolExecutor(1, "saving")  # one at a time, so that conversions go on


async def save(request: Request) -> Response:
    """Answer the bytes of a picture with one of FORMS, or with a sentence."""
    if request.path_params["form"] not in FORMS:
        return PlainTextResponse(f"A result is saved as one of {', '.join(FORMS)}.", 404)
    make, kind = FORMS[request.path_params["form"]]
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAX_BYTES:
            return PlainTextResponse(f"This picture is larger than {MAX_BYTES // 2**20} MB.", 413)
    try:
        picture = await run_in_threadpool(open_image, content, limit=MAX_PIXELS, apart=True)
        return Response(await run_in_threadpool(lambda: _worker.submit(make, picture).result()), media_type=kind)
    except ImageError as error:
        return PlainTextResponse(str(error), 400)
