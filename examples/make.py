"""Remake the example pictures after the embedded weights have changed: `python -m examples.make`.

The sketches are drawn here, line by line, from a handful of numbers each. The photos are what the embedded weights make
of the sketches. No picture of a real person goes in.
"""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw

from cyclegan import FaceSketchPipeline
from cyclegan.data.sources import find_images
from cyclegan.images import crop_square, open_image

HERE = Path(__file__).parent
SIZE, SCALE = 256, 4  # drawn four times larger and reduced, for smooth lines
FACES = {  # half the head's width, smile, hair ("short", "long", "curly", "bald"), beard, glasses, seed
    "anna": (0.185, 0.8, "long", False, False, 1),
    "ben": (0.195, 0.4, "short", False, False, 2),
    "clara": (0.180, 0.2, "curly", False, True, 3),
    "david": (0.205, 0.6, "short", True, False, 4),
    "ella": (0.175, 1.0, "long", False, True, 5),
    "felix": (0.200, -0.2, "bald", True, False, 6),
    "grace": (0.190, 0.6, "curly", False, False, 7),
    "hugo": (0.190, 0.0, "short", False, True, 8),
}
PALETTES = (  # skin, hair, background
    ("#f3d6c4", "#b08d57", "#dfe6ea"),
    ("#e0ac69", "#2b1d14", "#ffffff"),
    ("#8d5a3c", "#0f0e10", "#5a6b7a"),
    ("#5b3a24", "#2b1d14", "#c9b79c"),
)


class Pencil:
    """Draws on a square sheet whose sides run from 0 to 1; every line is a few strokes that do not quite agree."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.sheet = Image.new("L", (SIZE * SCALE, SIZE * SCALE), 250)
        self.draw = ImageDraw.Draw(self.sheet)

    def both(self, points: list[tuple[float, float]], **style: float) -> None:
        """A line from the left half, given as (distance from the middle, y), over the middle to its mirror image."""
        left, right = [(0.5 - d, y) for d, y in points], [(0.5 + d, y) for d, y in points if d]
        self.line(left + right[::-1], **style)  # type: ignore[arg-type]

    def line(self, points: list[tuple[float, float]], grey: int = 60, width: float = 1.2, strokes: int = 2) -> None:
        """A smooth line near the given points."""
        for _ in range(strokes):
            path = smooth(np.array(points) + self.rng.normal(0, 0.0022, (len(points), 2)))
            tone = int(np.clip(grey + self.rng.integers(-20, 21), 0, 255))
            self.draw.line([tuple(p) for p in path * SIZE * SCALE], tone, round(width * SCALE), "curve")

    def arc(self, x: float, y: float, rx: float, ry: float, start: float, end: float, **style: float) -> None:
        """A part of an ellipse, angles in degrees clockwise from the right."""
        angles = np.radians(np.linspace(start, end, 12))
        self.line([(x + rx * np.cos(a), y + ry * np.sin(a)) for a in angles], **style)  # type: ignore[arg-type]

    def dot(self, x: float, y: float, radius: float, grey: int) -> None:
        box = [(x - radius), (y - radius), (x + radius), (y + radius)]
        self.draw.ellipse([side * SIZE * SCALE for side in box], grey)


def smooth(points: np.ndarray) -> np.ndarray:
    """A Catmull-Rom spline through the points: (n, 2) -> (m, 2)."""
    p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, 12, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])


def draw_face(half: float, smile: float, hair: str, beard: bool, glasses: bool, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    pencil = Pencil(rng)
    x, top, eyes, chin = 0.5, 0.2, 0.47, 0.8

    # Head, ears, neck and shoulders
    jaw = half * rng.uniform(0.72, 0.86)
    side_of_head = [(half, eyes - 0.07), (half, eyes + 0.06), (half - 0.015, 0.62)]
    pencil.both([*side_of_head, (jaw, 0.69), (0.075, 0.775), (0, chin)])
    if hair != "long":
        for side in (-1, 1):
            ear, out = x + side * half, side * 0.033
            pencil.line([(ear, eyes), (ear + out, eyes - 0.01), (ear + out, eyes + 0.06), (ear, eyes + 0.1)])
    for side in (-1, 1):
        neck = x + side * half * 0.62
        pencil.line([(neck, 0.74), (neck, 0.84), (neck + side * 0.07, 0.89), (neck + side * 0.24, 0.97)])
    pencil.both([(half * 0.6, 0.87), (0, 0.95)], grey=90)

    # Eyes, brows and glasses
    apart = half * 0.47
    for side in (-1, 1):
        e = x + side * apart
        lid = [
            (e - 0.044, eyes + 0.004),
            (e - 0.018, eyes - 0.019),
            (e + 0.018, eyes - 0.019),
            (e + 0.044, eyes + 0.004),
        ]
        pencil.line(lid, grey=25, width=1.8)
        pencil.line([(px, eyes - 0.03 - (eyes - py) / 2) for px, py in lid], grey=130, width=0.8, strokes=1)
        pencil.line([(e - 0.04, eyes + 0.006), (e, eyes + 0.019), (e + 0.04, eyes + 0.006)], grey=100, width=0.9)
        pencil.dot(e, eyes, 0.0175, 90)
        pencil.dot(e, eyes, 0.0095, 20)
        pencil.dot(e + 0.005, eyes - 0.006, 0.004, 245)
        for y in np.linspace(eyes - 0.062, eyes - 0.053, 4):
            brow = [(e - side * 0.045, y), (e + side * 0.01, y - 0.021), (e + side * 0.055, y)]
            pencil.line(brow, grey=55, width=1.3)
        if glasses:
            pencil.arc(e, eyes + 0.005, 0.068, 0.052, 0, 360, grey=35, width=1.6)
    if glasses:
        pencil.both([(apart - 0.068, eyes), (0, eyes - 0.012)], grey=35, width=1.6)

    # Nose and mouth
    pencil.line([(x - 0.018, eyes + 0.02), (x - 0.024, 0.55), (x - 0.04, 0.585)], grey=140, width=0.8, strokes=1)
    pencil.both([(0.042, 0.585), (0.03, 0.602), (0.012, 0.597), (0, 0.605)], grey=70)
    lip, lift, mouth = half * 0.42, 0.018 * smile, 0.672
    corner = (lip, mouth - lift)
    pencil.both([corner, (lip / 2, mouth + lift / 3), (0, mouth + lift * 0.6)], grey=40, width=1.6)
    pencil.both([corner, (0.02, mouth - 0.019), (0, mouth - 0.014)], grey=90)
    pencil.both([(lip * 0.7, mouth + 0.012), (0, mouth + 0.033)], grey=90)

    # Beard and hair: many single strokes
    if beard:
        for angle in np.radians(rng.uniform(15, 165, 260)):
            depth = rng.uniform(0.78, 1.0)
            px, py = x + jaw * 1.08 * depth * np.cos(angle), 0.635 + 0.16 * depth * np.sin(angle)
            if abs(px - x) > lip * 1.15 or py > mouth + 0.045:
                pencil.line([(px, py), (px + rng.normal(0, 0.005), py + 0.022)], grey=90, width=0.9, strokes=1)
        for px in np.linspace(x - lip, x + lip, 26):
            pencil.line([(px, 0.625), (px + (px - x) * 0.1, 0.648)], grey=90, width=0.9, strokes=1)
    if hair == "short":
        for angle in np.radians(np.linspace(188, 352, 110)):
            reach = rng.uniform(0.8, 1.0)
            root = (x + half * 0.95 * reach * np.cos(angle), 0.42 + 0.17 * reach * np.sin(angle))
            tip = (x + half * 1.1 * np.cos(angle + 0.12), 0.42 + 0.25 * np.sin(angle + 0.12))
            pencil.line([root, ((root[0] + tip[0]) / 2 + 0.01, (root[1] + tip[1]) / 2), tip], grey=55, strokes=1)
    elif hair == "long":
        for direction in (-half, half):
            for spread in np.linspace(0, 1, 42):
                wave = rng.normal(0, 0.008)
                parting = (x + direction * 0.05, top - 0.035 + 0.05 * spread * rng.uniform(0.6, 1))
                temple = (x + direction * (0.62 + 0.3 * spread), 0.32 - 0.09 * spread)
                cheek = (x + direction * (1.0 + 0.25 * spread), eyes - 0.03)
                shoulder = (x + direction * (1.04 + 0.35 * spread) + wave, 0.68)
                tip = (x + direction * (1.0 + 0.5 * spread) - wave, rng.uniform(0.84, 0.93))
                pencil.line([parting, temple, cheek, shoulder, tip], grey=65, strokes=1)
    elif hair == "curly":
        for angle in np.radians(rng.uniform(165, 375, 150)):
            reach = rng.uniform(0.86, 1.3)
            cx, cy = x + half * reach * np.cos(angle), 0.42 + 0.19 * reach * np.sin(angle)
            if cy < eyes - 0.12 or abs(cx - x) > half * 0.98:
                start, radius = rng.uniform(0, 180), rng.uniform(0.012, 0.026)
                pencil.arc(cx, cy, radius, radius, start, start + 250, grey=60, strokes=1)
    else:
        pencil.both([(half, eyes - 0.07), (half - 0.02, 0.31), (half * 0.55, top + 0.02), (0, top - 0.005)])
    near, far = 0.12 * SIZE * SCALE, 0.88 * SIZE * SCALE  # the face as large as in the portraits of the training data
    return pencil.sheet.resize(
        (SIZE, SIZE), Image.Resampling.LANCZOS, (near, 1.25 * near, far, far + 0.25 * near)
    ).convert("RGB")


def sheet(rows: list[list[Image.Image]], side: int = 128, gap: int = 4) -> Image.Image:
    """Lay equally long rows of pictures out, each picture cut to a square of `side` pixels."""
    page = Image.new("RGB", ((side + gap) * len(rows[0]) - gap, (side + gap) * len(rows) - gap), "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            page.paste(crop_square(picture, side), (across * (side + gap), down * (side + gap)))
    return page


def main(data: Path | None = None) -> None:
    """Remake the examples, preview.jpg and docs/drawn.png; with held-out pictures, docs/results.png and looks.webp.

    Args:
        data: A folder with photos and sketches, such as photosandsketches/test. Eight of each are taken at random. The
            picture shows only the results, and not these originals.
    """
    pipe = FaceSketchPipeline.from_pretrained()
    sketches = [draw_face(*numbers) for numbers in FACES.values()]
    photos = pipe.sketch_to_photo(sketches)
    for folder, pictures in (("sketches", sketches), ("photos", photos)):
        (HERE / folder).mkdir(exist_ok=True)
        for name, picture in zip(FACES, pictures, strict=True):
            picture.save(HERE / folder / f"{name}.webp", quality=90, method=6)
    preview = Image.new("RGB", (1200, 630), "white")  # what other sites show of a link to the app
    preview.paste(sheet([photos[:4], sketches[:4]], side=297, gap=4), (0, 16))
    preview.save(HERE / "preview.jpg", quality=85, optimize=True)
    docs = HERE.parent / "docs"
    sheet([sketches, photos, pipe.photo_to_sketch(photos)]).save(docs / "drawn.png", optimize=True)
    if data:
        rng = np.random.default_rng(0)
        rows, looks = [], []
        for domain, convert in (("photos", pipe.photo_to_sketch), ("sketches", pipe.sketch_to_photo)):
            files = rng.choice(find_images(data / domain), len(sketches), replace=False)  # type: ignore[arg-type]
            given = [open_image(file) for file in files]
            rows.append(convert(given))
            looks.append(
                [pipe.photo_to_sketch(given[4], style=style) for style in (None, *pipe.styles)]
                if domain == "photos"
                else [pipe.sketch_to_photo(given[5], skin=a, hair=b, background=c) for a, b, c in PALETTES]
            )
        sheet(rows).save(docs / "results.png", optimize=True)
        sheet(looks, side=256).save(docs / "looks.webp", quality=85, method=6)


if __name__ == "__main__":
    tyro.cli(main)
