"""Train the face finder of cyclegan/faces.py on portraits and drawings that are laid at random into other pictures.

    python recipes/face_finder.py faces.npz BACKGROUNDS cyclegan/faces.safetensors

faces.npz holds `x`, the grey faces (N, 256, 256) uint8, and `q`, the square of each (N, 4): centre x and y and side as
shares of the picture, and tilt in degrees. BACKGROUNDS is a folder of pictures without faces. The released weights
took 6,400 faces, drawings twice, and two runs of half an hour on a busy core, the second with `--start-from` the
first: see docs/framing.md.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from cyclegan.faces import SEARCHED, STRIDE, FaceFinder, standardise

BILINEAR = Image.Resampling.BILINEAR
Square = tuple[float, float, float, float]  # centre x and y and side in pixels, tilt in degrees


class Scenes(IterableDataset):
    """Endless pictures of SEARCHED x SEARCHED with 0 to 4 faces: the picture and what the finder should say."""

    def __init__(self, faces: Path, backgrounds: Path) -> None:
        held = np.load(faces)
        self.faces, self.squares = held["x"], held["q"]
        self.backgrounds = [Image.open(path).convert("L") for path in sorted(backgrounds.iterdir())]

    def __iter__(self) -> Any:
        rng = np.random.default_rng(torch.initial_seed() % 2**32)
        while True:
            scene, squares = self.scene(rng)
            values, left, top = letterbox(scene)
            moved = [(x + left, y + top, side, tilt) for x, y, side, tilt in squares]
            yield values, target(moved)

    def scene(self, rng: np.random.Generator) -> tuple[Image.Image, list[Square]]:
        ratio = rng.choice([1, 1, 4 / 3, 3 / 4, 16 / 9, 9 / 16, 0.5, 2])
        width, height = (round(SEARCHED * min(1, r)) for r in (ratio, 1 / ratio))
        scene = self.background(rng, width, height)
        squares: list[Square] = []
        kind = rng.random()
        for _ in range(0 if kind < 0.12 else 1 if kind < 0.72 else rng.integers(2, 5)):
            largest = 1.5 if kind < 0.72 else 0.5
            side = SEARCHED * math.exp(rng.uniform(math.log(0.1), math.log(largest)))
            tilt = float(rng.normal(0, 12) if rng.random() < 0.5 else rng.uniform(-50, 50))
            if side > 0.9 * max(width, height):  # a face that fills the picture
                x, y = width / 2 + rng.normal(0, 0.06) * side, height / 2 + rng.normal(0, 0.06) * side
            else:
                x, y = rng.uniform(0.25 * side, max(width - 0.25 * side, 0.26 * side)), rng.uniform(
                    0.3 * side, max(height - 0.3 * side, 0.31 * side)
                )  # fmt: skip
            clear = all(math.dist((x, y), other[:2]) > 0.6 * (side + other[2]) for other in squares)
            if clear and 0 <= x < width and 0 <= y < height:
                number = int(rng.integers(len(self.faces)))
                squares.append(self.lay(rng, scene, number, x, y, side, tilt))
        return photograph(rng, scene), squares

    def background(self, rng: np.random.Generator, width: int, height: int) -> Image.Image:
        kind = rng.random()
        if kind < 0.5:  # a part of another picture
            whole = self.backgrounds[rng.integers(len(self.backgrounds))]
            share = rng.uniform(0.3, 1)
            w, h = share * whole.width, share * whole.height
            left, top = rng.uniform(0, whole.width - w), rng.uniform(0, whole.height - h)
            picture = whole.resize((width, height), BILINEAR, (left, top, left + w, top + h))
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else picture
        elif kind < 0.65:  # a portrait in pieces: skin, hair, eyes and mouths that are no face
            pieces = int(rng.choice([3, 4, 5, 8]))
            picture = Image.fromarray(self.faces[rng.integers(len(self.faces))])
            step, order = 256 // pieces, rng.permutation(pieces * pieces)
            cut = [
                picture.crop(
                    ((i % pieces) * step, (i // pieces) * step, (i % pieces + 1) * step, (i // pieces + 1) * step)
                )
                for i in order
            ]
            for i, piece in enumerate(cut):
                picture.paste(piece, ((i % pieces) * step, (i // pieces) * step))
            picture = picture.resize((width, height), BILINEAR)
        else:  # paper, a wall, a gradient
            levels = rng.uniform(0, 255, (2, 2)) if rng.random() < 0.5 else np.full((2, 2), rng.uniform(180, 255))
            picture = Image.fromarray(levels.astype(np.uint8)).resize((width, height), BILINEAR)
        draw = ImageDraw.Draw(picture)
        for _ in range(rng.integers(0, 12) if rng.random() < 0.4 else 0):  # lines, circles and letters
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            a, b, tone = rng.uniform(3, 90), rng.uniform(3, 90), int(rng.integers(0, 256))
            match rng.integers(4):
                case 0:
                    draw.line([x, y, x + a - 45, y + b - 45], tone, int(rng.integers(1, 5)))
                case 1:
                    draw.ellipse([x, y, x + a, y + b], None, tone, int(rng.integers(1, 4)))
                case 2:
                    draw.rectangle([x, y, x + a, y + b], tone if rng.random() < 0.5 else None, 255 - tone)
                case _:
                    draw.text((x, y), "".join(map(chr, rng.integers(65, 122, 9))), tone, font_size=8 + b / 4)
        for _ in range(rng.integers(1, 4) if rng.random() < 0.15 else 0):  # a mouth or an eye by itself
            face = Image.fromarray(self.faces[rng.integers(len(self.faces))])
            left, top, side = rng.uniform(70, 150), rng.uniform(90, 170), rng.uniform(30, 60)
            size = int(rng.uniform(20, 140))
            piece = face.resize((size, size), BILINEAR, (left, top, left + side, top + side))
            picture.paste(piece, (int(rng.uniform(-20, width - 10)), int(rng.uniform(-20, height - 10))))
        return picture

    def lay(
        self, rng: np.random.Generator, scene: Image.Image, number: int, x: float, y: float, side: float, tilt: float
    ) -> Square:
        """Lay a face into a scene so that its square is there; drawings at times as if drawn on what is there."""
        face, (cx, cy, share, own) = Image.fromarray(self.faces[number]), self.squares[number]
        if rng.random() < 0.5:
            face, cx, own = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 1 - cx, -own
        stretch = math.exp(rng.normal(0, 0.05))
        size = max(8, round(side / share))
        face = face.resize((size, max(8, round(size * stretch))), BILINEAR)
        turn = tilt - own  # clockwise
        mask = Image.new("L", face.size, 255)
        kind = rng.random()
        if kind < 0.45:  # a head and shoulders, softly cut out
            w, h = face.size
            mask = Image.new("L", face.size, 0)
            r = rng.uniform(0.36, 0.52)
            ImageDraw.Draw(mask).ellipse(
                [w * (cx - r), h * 0.06 * rng.random(), w * (cx + r), h * rng.uniform(0.88, 1)], 255
            )
            if rng.random() < 0.7:
                ImageDraw.Draw(mask).ellipse([w * -0.1, h * rng.uniform(0.78, 0.92), w * 1.1, h * 1.6], 255)
            mask = mask.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.003, 0.03)))
        elif kind < 0.55:  # fades out to all sides
            mask = Image.new("L", (16, 16), 0)
            mask.paste(255, (2, 2, 14, 14))
            mask = mask.resize(face.size, BILINEAR)
        radians = math.radians(turn)
        dx, dy = (cx - 0.5) * face.width, (cy - 0.5) * face.height
        mx, my = dx * math.cos(radians) - dy * math.sin(radians), dx * math.sin(radians) + dy * math.cos(radians)
        face, mask = (picture.rotate(-turn, BILINEAR, expand=True) for picture in (face, mask))
        corner = round(x - mx - face.width / 2), round(y - my - face.height / 2)
        if rng.random() < 0.15:  # something before it
            w, h = rng.uniform(0.1, 0.4, 2) * side
            ox, oy = face.width / 2 + rng.uniform(-0.5, 0.3) * side, face.height / 2 + rng.uniform(-0.5, 0.3) * side
            ImageDraw.Draw(face).rectangle([ox, oy, ox + w, oy + h], int(rng.integers(256)))
        tone = math.exp(rng.normal(0, 0.25))
        scene.paste(face.point(lambda value: min(255, value * tone)), corner, mask)
        return x, y, side * math.sqrt(stretch), tilt


def photograph(rng: np.random.Generator, scene: Image.Image) -> Image.Image:
    """Light, noise, blur and contrast of any kind."""
    values = np.asarray(scene, np.float32) / 255
    height, width = values.shape
    if rng.random() < 0.3:
        values = values ** math.exp(rng.normal(0, 0.6))
    if rng.random() < 0.25:  # a shadow over a part
        angle, at = rng.uniform(0, 2 * math.pi), rng.normal(0, 0.3)
        ys, xs = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
        edge = (xs * math.cos(angle) + ys * math.sin(angle) - at) / rng.uniform(0.02, 0.6)
        values = values * (1 - rng.uniform(0.2, 0.85) / (1 + np.exp(-np.clip(4 * edge, -30, 30))))
    if rng.random() < 0.4:  # dark or faded
        low = rng.uniform(0, 0.6)
        values = low + values * rng.uniform(0.08, 1 - low)
    if rng.random() < 0.04:
        values = 1 - values
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(0.005, 0.08) * max(values.std() * 4, 0.1), values.shape)
    picture = Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6))) if rng.random() < 0.25 else picture


def letterbox(scene: Image.Image) -> tuple[np.ndarray, int, int]:
    field = np.zeros((SEARCHED, SEARCHED), np.float32)
    left, top = (SEARCHED - scene.width) // 2, (SEARCHED - scene.height) // 2
    field[top : top + scene.height, left : left + scene.width] = standardise(np.asarray(scene))
    return field[None], left, top


def target(squares: list[Square]) -> np.ndarray:
    """(7, H/8, W/8): how near each cell is to a face's centre, from 0 to 1; the five values; where they count."""
    cells = SEARCHED // STRIDE
    wanted = np.zeros((7, cells, cells), np.float32)
    ys, xs = np.mgrid[:cells, :cells] + 0.5
    for x, y, side, tilt in squares:
        dx, dy = x / STRIDE - xs, y / STRIDE - ys
        near = np.exp(-(dx**2 + dy**2) / (2 * max(0.06 * side / STRIDE, 0.5) ** 2))
        near[int(y) // STRIDE % cells, int(x) // STRIDE % cells] = 1
        here = (near > 0.4) & (near > wanted[0])
        radians = math.radians(tilt)
        for channel, value in enumerate((dx, dy, math.log(side / 64), math.cos(radians), math.sin(radians)), 1):
            wanted[channel] = np.where(here, value, wanted[channel])
        wanted[6] = np.maximum(wanted[6], here)
        wanted[0] = np.maximum(wanted[0], near)
    return wanted


def loss_of(said: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """CenterNet's focal loss of the centres (Eq. 1), and the mean absolute error of the values."""
    logit, near = said[:, 0].float(), wanted[:, 0]
    face = (near == 1).float()
    sure = logit.sigmoid()
    hit = face * (1 - sure) ** 2 * F.logsigmoid(logit)
    miss = (1 - face) * (1 - near) ** 4 * sure**2 * F.logsigmoid(-logit)
    focal = -(hit + miss).sum() / face.sum().clamp(min=1)
    counts = wanted[:, 6:]
    scale = said.new_tensor([0.3, 0.3, 2, 2, 2])[None, :, None, None]  # a cell's share of a face is little
    values = ((said[:, 1:] - wanted[:, 1:6]).abs() * scale * counts).sum() / counts.sum().clamp(min=1)
    return focal, values


def main(
    faces: Path,
    backgrounds: Path,
    out: Path,
    /,
    minutes: float = 30,
    batch: int = 32,
    seed: int = 0,
    start_from: Path | None = None,
) -> None:
    """Train for a time, from the start or on from other weights, and write the average of the weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    loader = iter(DataLoader(Scenes(faces, backgrounds), batch, num_workers=1, prefetch_factor=4))
    finder = FaceFinder().to(memory_format=torch.channels_last)
    torch.nn.init.constant_(finder.head.get_submodule("1").get_parameter("bias")[:1], -4.0)
    if start_from:
        finder.load_state_dict({name: tensor.float() for name, tensor in load_file(start_from).items()}, strict=False)
    average = AveragedModel(finder, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
    optimizer = torch.optim.AdamW(finder.parameters(), 3e-3, weight_decay=1e-3)
    start, step, shown = time.monotonic(), 0, np.zeros(2)
    while (done := (time.monotonic() - start) / 60 / minutes) < 1:
        pictures, wanted = next(loader)
        for group in optimizer.param_groups:  # a short warm-up, then half a cosine, by the clock
            group["lr"] = 3e-3 * min(1, (step + 1) / 200) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
        focal, values = loss_of(finder(pictures.to(memory_format=torch.channels_last)), wanted)
        optimizer.zero_grad()
        (focal + values).backward()
        torch.nn.utils.clip_grad_norm_(finder.parameters(), 5.0)
        optimizer.step()
        average.update_parameters(finder)
        step, shown = step + 1, shown + np.array([focal.item(), values.item()])
        if step % 100 == 0:
            print(f"{step} steps, {done:.0%}: centres {shown[0] / 100:.3f}, values {shown[1] / 100:.3f}", flush=True)
            shown[:] = 0
        if step % 500 == 0 or done > 0.999:
            write(average, out)
    write(average, out)


def write(average: AveragedModel, out: Path) -> None:
    tensors = {name: tensor for name, tensor in average.module.state_dict().items() if "num_batches" not in name}
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, out)


if __name__ == "__main__":
    tyro.cli(main)
