"""Find the faces in a picture, so that each can be framed like the training pictures."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from .images import resize_to

WEIGHTS = Path(__file__).with_suffix(".safetensors")
SEARCHED = 192  # the longer side in pixels of what is searched
STRIDE = 8  # the finder answers for every square of so many pixels
GUESS, SURE = 0.12, 0.25  # from 0 to 1: what is worth a second look, and what is a face after it
CONTEXT = 1.5  # the second look sees this many times the square
TURNED = 8.0  # degrees from which on a head is turned upright: the generators were trained on heads up to that
SMALLEST, LARGEST = 16, 1024  # pixels of the shorter side
SIZES = (1, 1.5, 2)  # times the working size of a release: what users choose from
LARGE = 512  # pixels of the shorter side of the largest sketch, and of what is saved, if the user chooses no size
ENLARGED = 1.125  # times; a square is not made larger than that for the sake of a larger size
Size = int | tuple[int, ...] | Literal["own"]
Framing = Literal["face", "faces", "middle", "whole"]
FRAMINGS: tuple[Framing, ...] = get_args(Framing)


class Face(NamedTuple):
    """A square that frames a face, in pixels of the picture: its centre, its side, and how far the head is tilted."""

    x: float
    y: float
    side: float
    tilt: float  # degrees, clockwise
    score: float  # from 0 to 1


class FaceFinder(nn.Module):
    """Finds faces as points, with their size and tilt (CenterNet: Zhou et al., "Objects as Points", 2019).

    Called with grey pictures (B, 1, H, W) of mean 0 and deviation 1, H and W multiples of 32, it gives
    (B, 6, H/8, W/8): the logit of a face's centre; from the middle of the cell to the centre, x and y in cells; the
    natural logarithm of the square's side in units of 64 pixels; the cosine and the sine of the tilt.
    """

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

        self.eighth = nn.Sequential(block(1, 12, 2), block(12, 20, 2), block(20, 40, 2), block(40, 40))
        self.sixteenth = nn.Sequential(block(40, 64, 2), block(64, 64))
        self.down = nn.Sequential(block(64, 64, 2), block(64, 64), block(64, 64), block(64, 64))
        self.lateral = nn.Conv2d(64, 40, 1)
        self.up = block(64, 64)
        self.head = nn.Sequential(block(40, 40), nn.Conv2d(40, 6, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        eighth = self.eighth(pictures)  # (B, 40, H/8, W/8)
        sixteenth = self.sixteenth(eighth)  # (B, 64, H/16, W/16)
        sixteenth = self.up(sixteenth + F.interpolate(self.down(sixteenth), scale_factor=2.0))
        return self.head(eighth + self.lateral(F.interpolate(sixteenth, scale_factor=2.0)))


@cache
def load_finder() -> FaceFinder:
    """The finder with its weights, in eval mode; the same one for everybody."""
    finder = FaceFinder()
    finder.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    return finder.eval()


def standardise(grey: np.ndarray) -> np.ndarray:
    """Bring the grey values of what is searched to mean 0 and deviation 1: (H, W) -> (H, W) float32."""
    values = grey.astype(np.float32)
    return (values - values.mean()) / (values.std() + 2)


@torch.inference_mode()
def _search(grey: Image.Image) -> list[Face]:
    """Find the faces in a grey picture whose longer side is SEARCHED, the surest first."""
    field = np.zeros((SEARCHED, SEARCHED), np.float32)
    left, top = (SEARCHED - grey.width) // 2, (SEARCHED - grey.height) // 2
    field[top : top + grey.height, left : left + grey.width] = standardise(np.asarray(grey))
    heat, *values = load_finder()(torch.from_numpy(field)[None, None])[0].numpy()
    heat = 1 / (1 + np.exp(-heat))
    faces: list[Face] = []
    for row, column in sorted(np.argwhere(heat >= GUESS).tolist(), key=lambda cell: -heat[cell[0], cell[1]]):
        dx, dy, size, cosine, sine = (float(value[row, column]) for value in values)
        x, y = ((cell + 0.5 + d) * STRIDE for cell, d in ((column, dx), (row, dy)))
        tilt = math.degrees(math.atan2(sine, cosine))
        face = Face(x - left, y - top, 64 * math.exp(min(size, 2)), tilt, float(heat[row, column]))
        if all(math.dist(face[:2], other[:2]) > 0.5 * max(face.side, other.side) for other in faces):
            faces.append(face)
    return faces


def find_faces(image: Image.Image) -> list[Face]:
    """Find the faces in a photo or a drawing that are at least a tenth of the longer side, the largest first.

    Each is looked at twice: the second time it is upright and large, which places it better, and what is no face then
    is left out. It takes about 10 ms and 10 ms for each face on one core.
    """
    grey = image.convert("L")
    scale = max(grey.size) / SEARCHED
    width, height = (max(1, round(length / scale)) for length in grey.size)
    faces = []
    for face in _search(grey.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)):
        x, y, side = face.x * scale, face.y * scale, face.side * scale
        near = cut(grey, x, y, CONTEXT * side, face.tilt, SEARCHED)
        middle, unit = SEARCHED / 2, CONTEXT * side / SEARCHED
        seen = [again for again in _search(near) if math.dist(again[:2], (middle, middle)) < again.side / 2]
        if seen:
            again = min(seen, key=lambda one: math.dist(one[:2], (middle, middle)))
            dx, dy = turn((again.x - middle) * unit, (again.y - middle) * unit, face.tilt)
            score = math.sqrt(face.score * again.score)
            if score >= SURE:
                faces.append(Face(x + dx, y + dy, again.side * unit, face.tilt + again.tilt, score))
    return sorted(faces, key=lambda face: -face.side)


def find_face(image: Image.Image) -> tuple[float, float, float] | None:
    """Find the largest face: the centre (x, y) and the side of its square in pixels, or None."""
    faces = find_faces(image)
    return faces[0][:3] if faces else None


def turn(x: float, y: float, degrees: float) -> tuple[float, float]:
    """Turn a point clockwise around the origin; y points down."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x * cosine - y * sine, x * sine + y * cosine


def cut(image: Image.Image, x: float, y: float, side: float, tilt: float, size: int) -> Image.Image:
    """Cut out a square of `size` x `size` that is tilted in the picture; its edges go on where it reaches over them."""
    scale = size / side
    reach = side * (0.5 if abs(tilt) < 0.01 else math.sqrt(0.5)) + 1 / scale
    box = [math.floor(x - reach), math.floor(y - reach), math.ceil(x + reach), math.ceil(y + reach)]
    inside = [max(box[0], 0), max(box[1], 0), min(box[2], image.width), min(box[3], image.height)]
    inside = [min(inside[0], image.width - 1), min(inside[1], image.height - 1), max(inside[2], 1), max(inside[3], 1)]
    part = image.crop(tuple(inside))  # type: ignore[arg-type]
    if scale < 1:  # reduced before it is turned, for there is no filter against moire in a turn
        part = part.resize(
            (max(1, round(part.width * scale)), max(1, round(part.height * scale))), Image.Resampling.BICUBIC,
            reducing_gap=2.0,
        )  # fmt: skip
    fx, fy = part.width / (inside[2] - inside[0]), part.height / (inside[3] - inside[1])
    over = [
        max(0, math.ceil(over * f))
        for over, f in zip(
            (inside[0] - box[0], inside[1] - box[1], box[2] - inside[2], box[3] - inside[3]),
            (fx, fy, fx, fy),
            strict=True,
        )
    ]
    if any(over):
        widths = [(over[1], over[3]), (over[0], over[2]), (0, 0)][: 2 if part.mode == "L" else 3]
        part = Image.fromarray(np.pad(np.asarray(part), widths, "edge"))
    # The affine map from the result to the part: PIL asks for it in this direction
    cosine, sine = math.cos(math.radians(tilt)) * side / size, math.sin(math.radians(tilt)) * side / size
    left, top = x - inside[0], y - inside[1]
    matrix = (
        cosine * fx, -sine * fx, (left - (cosine - sine) * size / 2) * fx + over[0],
        sine * fy, cosine * fy, (top - (sine + cosine) * size / 2) * fy + over[1],
    )  # fmt: skip
    return part.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def fit_square(size: tuple[int, int], x: float, y: float, side: float) -> tuple[int, int, int]:
    """Move a square centred at (x, y) into a picture of the given size: left, top and side in whole pixels."""
    side = max(1, round(min(side, *size)))
    left, top = (
        round(min(max(centre - side / 2, 0), length - side)) for centre, length in zip((x, y), size, strict=True)
    )
    return left, top, side


@dataclass(frozen=True)
class Frame:
    """What is converted of a picture: the image, upright and at the working size, and where it is from.

    Attributes:
        square: left, top and side in pixels of the picture; None if it is the whole picture.
        found: whether a face was found; True where none was looked for.
        tilt: by how many degrees clockwise the head is tilted; the image is that much turned, and larger than the
            square so that it holds all of it.
    """

    image: Image.Image
    square: tuple[int, int, int] | None = None
    found: bool = True
    tilt: float = 0.0

    def turn_back(self, result: Image.Image) -> Image.Image:
        """What was made of the image -> the same for the square, tilted as the head was."""
        if not self.tilt:
            return result
        size = round(result.width / _room(self.tilt))
        return cut(result, result.width / 2, result.height / 2, size, -self.tilt, size)


def _room(tilt: float) -> float:
    """How many times as large as a square is the tilted square around it."""
    return abs(math.cos(math.radians(tilt))) + abs(math.sin(math.radians(tilt)))


def check_size(size: object) -> None:
    """Check a size that was asked for. That of a release is another matter: it may be smaller or larger.

    Raises:
        ValueError: it is none.
    """
    if size != "own" and not (type(size) is int and SMALLEST <= size <= LARGEST):
        raise ValueError(f"size must be from {SMALLEST} to {LARGEST} pixels, or 'own'; got {size!r:.80}.")


def fit_size(size: Size, side: int) -> int:
    """Choose the size for a square or a picture whose shorter side is `side` pixels. See `frame`."""
    if size == "own":
        return min(side, LARGEST)
    if isinstance(size, int):
        return size
    return max((one for one in size if one <= ENLARGED * side), default=min(size))


def best_sizes(size: int) -> tuple[int, ...]:
    """Return the sizes of which `fit_size` is to choose if the user chooses none, in pixels.

    Results gain from a larger size than that of training if the face has as many pixels.

    Args:
        size: the release's own.
    """
    sizes = tuple(round(one * size) for one in SIZES)
    return tuple(one for one in sizes if one <= max(size, LARGE)) if sizes[-1] >= LARGE else (size,)


def frame(image: Image.Image, framing: Framing, size: Size) -> list[Frame]:
    """Choose what of a picture is converted.

    Args:
        framing: the largest `face`, each of the `faces` from the largest to the smallest, the `middle` square or the
            `whole` picture. Where there is no face it is the middle, and the frame says so.
        size: the shorter side of what comes out in pixels, or the picture's `own`, up to LARGEST. Of several
            sizes, each frame gets the largest that it has the pixels for, or the smallest.

    Raises:
        ValueError: there is no such framing.
    """
    if framing not in FRAMINGS:
        raise ValueError(f"framing must be {', '.join(FRAMINGS[:-1])} or {FRAMINGS[-1]}; got {framing!r}.")
    if framing == "whole":
        return [Frame(resize_to(image, fit_size(size, min(image.size))))]
    faces = find_faces(image) if framing != "middle" else []
    if framing == "face":
        faces = faces[:1]
    return [frame_square(image, face.x, face.y, face.side, size, face.tilt) for face in faces] or [
        frame_square(image, image.width / 2, image.height / 2, min(image.size), size, found=framing == "middle")
    ]


def frame_square(
    image: Image.Image, x: float, y: float, side: float, size: Size, tilt: float = 0, found: bool = True
) -> Frame:
    """Take a square of a picture, moved inside it, with what is in it turned upright."""
    square = left, top, side = fit_square(image.size, x, y, side)
    pixels = fit_size(size, side)
    if abs(tilt) < TURNED:
        return Frame(resize_to(image.crop((left, top, left + side, top + side)), pixels), square, found)
    room = _room(tilt)
    upright = cut(image, left + side / 2, top + side / 2, side * room, tilt, round(pixels * room))
    return Frame(upright, square, found, tilt)
