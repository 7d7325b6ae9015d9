"""What people try, and what they get: `python -m benchmarks.kinds` makes docs/kinds.webp.

The photos come from what the embedded weights paint of code-drawn faces, and the drawings from `examples/make.py`.
Every picture goes through the pipeline as in the app: its face is found, framed and prepared.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from cyclegan import FaceSketchPipeline
from cyclegan.images import crop_square
from cyclegan.release import EMBEDDED
from examples.make import FACES, SCALE, Pencil, draw_face

DOCS = Path(__file__).parents[1] / "docs"
SIDE, LABEL, ACROSS = 160, 16, 9  # pixels of a picture and of the line above it, and pictures in a row
Kind = Callable[[], Image.Image]


def noise(size: tuple[int, int], low: int, high: int, grain: int = 1) -> Image.Image:
    """Grey noise of a coarseness, such as a wall or a table."""
    width, height = size
    values = np.random.default_rng(0).integers(low, high, (height // grain + 1, width // grain + 1), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def room(width: int, height: int) -> Image.Image:
    return ImageOps.colorize(noise((width, height), 60, 200, 60), (70, 80, 95), (200, 190, 170))


def stick(head: Image.Image, side: int, where: Image.Image, x: int, y: int) -> Image.Image:
    """Put a head into a picture, with soft edges."""
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse([0.1 * side, 0, 0.9 * side, 0.98 * side], 255)
    where.paste(head.resize((side, side)), (x, y), mask.filter(ImageFilter.GaussianBlur(side / 40)))
    return where


def body(head: Image.Image) -> Image.Image:
    """A person from head to foot."""
    picture = room(500, 1000)
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle([150, 230, 350, 600], 60, (60, 90, 140))
    for x in (165, 265):
        pen.rounded_rectangle([x, 560, x + 70, 960], 20, (50, 50, 60))
    return stick(head, 180, picture, 160, 80)


def dressed(photo: Image.Image, hat: bool) -> Image.Image:
    """A hat and sunglasses, or a medical mask."""
    picture = photo.copy()
    pen, (width, height) = ImageDraw.Draw(picture), photo.size
    if hat:
        pen.ellipse([0.1 * width, 0.19 * height, 0.9 * width, 0.33 * height], (60, 45, 35))
        pen.rounded_rectangle([0.25 * width, -20, 0.75 * width, 0.27 * height], 30, (70, 52, 40))
        for x in (0.28, 0.53):
            pen.ellipse([x * width, 0.38 * height, (x + 0.2) * width, 0.51 * height], (15, 15, 20))
        pen.line([0.45 * width, 0.43 * height, 0.55 * width, 0.43 * height], (15, 15, 20), 5)
    else:
        corners = [(0.26, 0.52), (0.5, 0.48), (0.74, 0.52), (0.7, 0.74), (0.5, 0.83), (0.3, 0.74)]
        pen.polygon([(x * width, y * height) for x, y in corners], (150, 190, 210))
    return picture


def child(photo: Image.Image) -> Image.Image:
    """The same face with a high forehead and a short chin."""
    width, height = photo.size
    parts = [
        photo.crop((0, round(a * height), width, round(b * height))) for a, b in ((0, 0.55), (0.55, 0.85), (0.85, 1))
    ]
    picture, top = Image.new("RGB", photo.size), 0
    for part, share in zip(parts, (0.66, 0.22, 0.12), strict=True):
        picture.paste(part.resize((width, round(share * height) + 1)), (0, top))
        top += round(share * height)
    return picture


def on(drawing: Image.Image, ground: Image.Image) -> Image.Image:
    """A drawing on another ground: its lines darken it."""
    return ImageChops.multiply(ground.convert("RGB"), drawing.resize(ground.size))


def table(drawing: Image.Image) -> Image.Image:
    """A sheet of paper on a wooden table, photographed a little askew, with a shadow over a half."""
    wood = ImageOps.colorize(noise((700, 560), 60, 160, 9), (80, 50, 30), (170, 120, 80))
    sheet = drawing.resize((400, 400)).convert("RGBA").rotate(7, expand=True, resample=Image.Resampling.BICUBIC)
    wood.paste(sheet, (130, 50), sheet)
    shade = Image.linear_gradient("L").rotate(90).resize(wood.size).point(lambda value: 120 + value // 2)
    return ImageChops.multiply(wood, Image.merge("RGB", [shade] * 3))


def ruled(drawing: Image.Image) -> Image.Image:
    """The same on squared paper."""
    ground = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(ground)
    for at in range(0, 512, 20):
        pen.line([at, 0, at, 512], (170, 195, 225))
        pen.line([0, at, 512, at], (170, 195, 225))
    return on(drawing, ground)


def transparent(drawing: Image.Image) -> Image.Image:
    """Black lines on nothing, as drawing programs save them."""
    picture = Image.new("RGBA", drawing.size, (0, 0, 0, 0))
    picture.putalpha(ImageOps.invert(drawing.convert("L")))
    return picture


def coloured(drawing: Image.Image) -> Image.Image:
    """A pencil drawing with pale fills for skin, hair and clothes."""
    ground = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(ground)
    pen.ellipse([130, 60, 382, 330], (200, 150, 110))
    pen.ellipse([165, 110, 347, 420], (250, 215, 190))
    pen.pieslice([60, 400, 452, 700], 180, 360, (140, 180, 220))
    return on(drawing, ground)


def strokes() -> Image.Image:
    """A face of five strokes."""
    pencil = Pencil(np.random.default_rng(3))
    pencil.arc(0.5, 0.5, 0.3, 0.38, 0, 360, width=4, strokes=1)
    for x in (0.39, 0.61):
        pencil.dot(x, 0.44, 0.02, 30)
    pencil.line([(0.5, 0.47), (0.48, 0.58), (0.52, 0.59)], width=4, strokes=1)
    pencil.arc(0.5, 0.65, 0.1, 0.06, 20, 160, width=4, strokes=1)
    return pencil.sheet.resize((512, 512)).convert("RGB")


def cartoon(anime: bool) -> Image.Image:
    """A face in even ink; or one with large eyes, a pointed chin and spiky hair."""
    picture = Image.new("L", (256 * SCALE, 256 * SCALE), 255)
    pen, unit = ImageDraw.Draw(picture), 256 * SCALE

    def path(points: list[tuple[float, float]], width: int = 12) -> None:
        pen.line([(x * unit, y * unit) for x, y in points], 0, width, "curve")

    jaw = [(0.25, 0.4), (0.27, 0.6), (0.5, 0.86), (0.73, 0.6), (0.75, 0.4)]
    path(jaw if anime else [(0.27, 0.4), (0.28, 0.62), (0.38, 0.8), (0.62, 0.8), (0.72, 0.62), (0.73, 0.4)])
    spikes = [(0.2 + 0.06 * step, 0.42 if step % 2 else 0.16 + 0.02 * abs(step - 5)) for step in range(11)]
    path(spikes if anime else [(0.25, 0.42), (0.28, 0.25), (0.5, 0.17), (0.72, 0.25), (0.75, 0.42)])
    for x in (0.38, 0.62):
        wide, high = (0.065, 0.085) if anime else (0.045, 0.03)
        pen.ellipse([(x - wide) * unit, (0.5 - high) * unit, (x + wide) * unit, (0.5 + high) * unit], 255, 0, 12)
        pen.ellipse(
            [(x - wide / 2) * unit, (0.5 - high * 0.8) * unit, (x + wide / 2) * unit, (0.5 + high * 0.8) * unit], 0
        )
        path([(x - 0.06, 0.37), (x + 0.06, 0.36)], 16)
    path([(0.5, 0.58), (0.48, 0.64), (0.52, 0.645)], 8)
    path([(0.43, 0.73), (0.5, 0.745 if anime else 0.77), (0.57, 0.73)])
    return picture.resize((512, 512), Image.Resampling.LANCZOS).convert("RGB")


def kinds(pipe: FaceSketchPipeline) -> dict[str, tuple[str, Kind]]:
    """The name of each kind, what it is made into, and how to make it."""
    drawn = {name: draw_face(*numbers) for name, numbers in FACES.items()}
    sitters = [drawn[name] for name in ("anna", "ben", "clara", "grace")]
    anna, ben, clara, grace = pipe.sketch_to_photo(
        sitters, size=512, skin="#d9a98a", hair="#3a281c", background="#9fb0b8"
    )
    grey = ImageOps.grayscale(ben)
    photos: dict[str, Kind] = {
        "a tenth of the frame": lambda: stick(ben, 130, room(1200, 800), 700, 300),
        "a third of the frame": lambda: stick(clara, 300, room(1000, 750), 150, 200),
        "the whole frame": lambda: anna.crop((110, 60, 400, 430)),
        "tilted": lambda: stick(anna, 512, room(700, 700), 90, 90).rotate(28, Image.Resampling.BICUBIC),
        "two faces": lambda: stick(grace, 330, stick(ben, 330, room(900, 600), 90, 120), 480, 140),
        "whole body": lambda: body(grace),
        "panorama": lambda: stick(anna, 380, room(2400, 480), 1500, 60),
        "64 pixels": lambda: ben.resize((64, 64)),
        "dark": lambda: ImageEnhance.Brightness(clara).enhance(0.15),
        "overexposed": lambda: ben.point(lambda value: min(255, value * 2)),
        "black and white": lambda: grey.convert("RGB"),
        "sepia": lambda: ImageOps.colorize(grey, (40, 25, 10), (250, 230, 190)),
        "hat and sunglasses": lambda: dressed(ben, hat=True),
        "mask": lambda: dressed(anna, hat=False),
        "child": lambda: child(grace),
    }
    good = drawn["clara"].resize((512, 512), Image.Resampling.LANCZOS)
    drawings: dict[str, Kind] = {
        "good pencil": lambda: good,
        "on a table": lambda: table(drawn["anna"]),
        "pen cartoon": lambda: cartoon(anime=False),
        "coloured pencil": lambda: coloured(drawn["david"]),
        "five strokes": strokes,
        "anime": lambda: cartoon(anime=True),
        "A4 scan": lambda: ImageOps.pad(drawn["ben"].resize((500, 500)), (1240, 1754), color="#fbfaf6"),
        "kraft paper": lambda: on(
            drawn["grace"], ImageOps.colorize(noise((512, 512), 100, 150, 2), (120, 85, 50), (215, 175, 130))
        ),
        "transparent lines": lambda: transparent(drawn["felix"]),
        "blackboard": lambda: ImageOps.colorize(
            ImageOps.invert(drawn["hugo"].convert("L")), (38, 52, 46), (235, 240, 235)
        ),
        "blank page": lambda: Image.new("RGB", (512, 512), "#f6f4ee"),
        "squared paper": lambda: ruled(drawn["ella"]),
    }
    return {name: ("photo_to_sketch", make) for name, make in photos.items()} | {
        name: ("sketch_to_photo", make) for name, make in drawings.items()
    }


def main(weights: str = str(EMBEDDED), out: Path = DOCS / "kinds.webp") -> None:
    """Convert every kind of picture, and lay out what was given above what came of it.

    Args:
        weights: A release: a folder, or a repository on the Hub. Not given: the embedded weights.
        out: The file to write.
    """
    pipe = FaceSketchPipeline.from_pretrained(weights)
    made = kinds(FaceSketchPipeline.from_pretrained())
    step, rows = SIDE + 4, -(-len(made) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * step, rows * (2 * step + LABEL)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (name, (direction, make)) in enumerate(made.items()):
        given = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no face, or a blank page: which is what is to be seen
            result = getattr(pipe, direction)(given, framing="face")
        down, across = divmod(number, ACROSS)
        x, y = across * step, down * (2 * step + LABEL)
        pen.text((x + 2, y), name, "black", font)
        shown = Image.alpha_composite(Image.new("RGBA", given.size, "white"), given.convert("RGBA")).convert("RGB")
        sheet.paste(ImageOps.pad(shown, (SIDE, SIDE), color="#e4e4e4"), (x, y + LABEL))
        sheet.paste(crop_square(result, SIDE), (x, y + LABEL + step))
    sheet.save(out, quality=85, method=6)


if __name__ == "__main__":
    tyro.cli(main)
