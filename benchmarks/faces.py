"""Measure the face finder on pictures that are laid into scenes at four scales and three tilts, and in the dark.

    python -m benchmarks.faces faces.json BACKGROUNDS

faces.json says where the face is in pictures that were kept out of training: {"photos": {"a.jpg": [x, y, side, tilt],
...}, "sketches": {...}}, with the centre and the side as shares of a square picture and the tilt in degrees.
BACKGROUNDS is a folder of pictures without faces. docs/framing.md has the result.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from cyclegan.faces import Face, find_faces

WIDTH, HEIGHT = 640, 480  # of a scene
SCALES, TILTS = (0.15, 0.3, 0.6, 1.0), (0, 20, 40)  # sides of the square as shares of the width; degrees
BICUBIC = Image.Resampling.BICUBIC
Square = tuple[float, float, float, float]


def scenes(
    faces: dict[str, Square], backgrounds: list[Image.Image], scale: float, tilt: int, dark: bool
) -> Iterator[tuple[Image.Image, Face]]:
    """Lay each picture once into a scene, tilted to either side: the scene, and the square that should be found."""
    rng = np.random.default_rng([round(100 * scale), tilt, dark])
    for path, (x, y, share, own) in faces.items():
        turn = float(tilt * rng.choice([-1, 1]))
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        fills = scale >= 1
        size = WIDTH if fills else max(8, round(scale * WIDTH / share))
        picture = picture.resize((size, size), BICUBIC)
        dx, dy, angle = (x - 0.5) * size, (y - 0.5) * size, math.radians(turn)
        dx, dy = dx * math.cos(angle) - dy * math.sin(angle), dx * math.sin(angle) + dy * math.cos(angle)
        if fills:  # the edges of the picture go on where it was turned away
            values = np.pad(np.asarray(picture), ((size // 2,) * 2, (size // 2,) * 2, (0, 0)), "edge")
            box = (size // 2, size // 2, size // 2 + size, size // 2 + size)
            scene = Image.fromarray(values).rotate(-turn, BICUBIC).crop(box)
            centre = WIDTH / 2 + dx, WIDTH / 2 + dy
        else:
            side = scale * WIDTH
            scene = backgrounds[rng.integers(len(backgrounds))].resize((WIDTH, HEIGHT))
            low, high = sorted((side / 2, HEIGHT - side / 2))
            centre = rng.uniform(side / 2, WIDTH - side / 2), rng.uniform(low, high)
            mask = Image.new("L", picture.size, 255).rotate(-turn, expand=True)
            turned = picture.rotate(-turn, BICUBIC, expand=True)
            corner = round(centre[0] - dx - turned.width / 2), round(centre[1] - dy - turned.height / 2)
            scene.paste(turned, corner, mask)
        if dark:
            noise = rng.normal(0, 3, (scene.height, scene.width, 1))
            scene = Image.fromarray((np.asarray(scene) * 0.15 + noise).clip(0, 255).astype(np.uint8))
        yield scene, Face(*centre, share * size, own + turn, 1.0)


def measure(pairs: Iterator[tuple[Image.Image, Face]]) -> tuple[int, int, list[float]]:
    """Count faces found and false finds, and average the errors of centre and side (shares) and tilt, and the time."""
    found, false, errors, spent = 0, 0, [], []
    for scene, true in pairs:
        start = time.process_time()
        finds = find_faces(scene)
        spent.append(1000 * (time.process_time() - start))
        right = [
            face
            for face in finds
            if math.dist(face[:2], true[:2]) < 0.25 * true.side and 0.6 < face.side / true.side < 1.67
        ]
        found, false = found + bool(right), false + len(finds) - len(right)
        for face in right[:1]:
            turned = abs((face.tilt - true.tilt + 180) % 360 - 180)
            errors.append((math.dist(face[:2], true[:2]) / true.side, abs(face.side / true.side - 1), turned))
    return found, false, [*np.mean(errors, 0).tolist(), float(np.mean(spent))]


def main(faces: Path, backgrounds: Path, /) -> None:
    """Print a Markdown table for each kind of picture."""
    torch.set_num_threads(1)
    behind = [Image.open(path).convert("RGB") for path in sorted(backgrounds.iterdir())]
    for kind, squares in json.loads(faces.read_text()).items():
        print(f"\n| {len(squares)} {kind} | found | false | centre | side | tilt | time |\n" + "| --- " * 7 + "|")
        for scale, tilt, dark in [*((scale, tilt, False) for scale in SCALES for tilt in TILTS), (0.3, 0, True)]:
            found, false, (centre, side, turned, spent) = measure(scenes(squares, behind, scale, tilt, dark))
            name = f"{'fills the picture' if scale >= 1 else scale}, {'dark' if dark else f'tilt {tilt}'}"
            print(
                f"| {name} | {found} | {false} | {centre:.1%} | {side:.0%} | {turned:.0f}° | {spent:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    tyro.cli(main)
