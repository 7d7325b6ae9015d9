"""Draw faces of few strokes, as a finger or a child draws them, from the landmarks of photos."""

import math

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from cyclegan.evaluation.identity import find_models

Points = NDArray[np.floating]
# dlib's 68 landmarks
JAW, NOSE, NOSTRILS = slice(0, 17), [27, 28, 29, 30, 33], slice(31, 36)
BROWS, EYES = (slice(17, 22), slice(22, 27)), (slice(36, 42), slice(42, 48))
LIPS, BETWEEN, SMILE = slice(48, 60), [48, 60, 61, 62, 63, 64, 54], [48, 67, 66, 65, 54]
FRAMED = dlib.rectangle(64, 75, 192, 203)  # where a face lies that the detector misses, of 256
SHARP = 2  # strokes are drawn at so many times the size


class Landmarks:
    """Finds the landmarks of framed faces, once for each name."""

    def __init__(self) -> None:
        self._detect = dlib.get_frontal_face_detector()
        self._find = dlib.shape_predictor(str(find_models() / "shape_predictor_68_face_landmarks.dat"))
        self._known: dict[str, Points] = {}

    def __call__(self, name: str, photo: Tensor) -> Points:
        """(3, S, S) uint8 -> (68, 2), x and y as shares of the side."""
        if name not in self._known:
            image = Image.fromarray(photo.permute(1, 2, 0).numpy()).resize((256, 256), Image.Resampling.BOX)
            face = max(self._detect(np.array(image), 0), key=lambda found: found.area(), default=FRAMED)
            points = self._find(np.array(image), face).parts()
            self._known[name] = np.array([(point.x, point.y) for point in points]) / 256
        return self._known[name]


def draw_face(landmarks: Points, size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a face as far as a beginner may have come, with a pen or a finger.

    Returns:
        (size, size) each: black strokes and pale tones on white; and 255 outside the head, 0 within it.
    """
    side = size * SHARP
    points = (landmarks + rng.normal(0, 0.004, landmarks.shape)) * side
    width = side / 256 * (rng.uniform(1, 2.5) if rng.random() < 0.6 else rng.uniform(3, 9))
    ink, done, tones = int(rng.uniform(0, 130)), rng.random(), rng.random() < 0.25
    page, head = Image.new("L", (side, side), 255), Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(page)

    def stroke(line: Points, closed: bool = False, thickness: float = 0.8) -> None:
        line = _round(line, closed)
        pen.line(
            [*map(tuple, line), *[tuple(line[0])] * closed],
            fill=ink,
            width=max(1, round(width * thickness)),
            joint="curve",
        )

    def has(part: float) -> bool:  # parts come in this order, more or less
        return bool(done > part or rng.random() < 0.5 * done)

    middle, across = (points[0] + points[16]) / 2, (points[16] - points[0]) / 2
    up = middle - points[8]  # from the chin

    def arc(angles: Points, wide: float, high: float) -> Points:
        return middle + across * wide * np.cos(angles)[:, None] + up * high * np.sin(angles)[:, None]

    rise = rng.uniform(0.85, 1.1)
    skull = arc(np.linspace(0, math.pi, 17)[1:-1], 1, rise)
    outline = _round(np.vstack([points[JAW], skull]), closed=True)
    if tones:
        pen.polygon([*map(tuple, outline)], fill=int(rng.uniform(215, 250)))
    if has(0.05):
        whole = rng.random() < 0.6
        stroke(outline if whole else points[JAW], closed=whole, thickness=1)
    if has(0.6):  # hair
        wide = rng.uniform(1.08, 1.35)
        hair = arc(np.linspace(-0.2, math.pi + 0.2, 23), wide, wide * rise)
        if tones or rng.random() < 0.2:
            pen.polygon([*map(tuple, np.vstack([hair, skull[::-1]]))], fill=int(rng.uniform(120, 225)))
        stroke(hair)
        for angle in rng.uniform(0.1, math.pi - 0.1, rng.integers(0, 30)):
            stroke(np.vstack([arc(np.array([angle]), near, near) for near in rng.uniform((0.9, 1.05), (1, 1.3))]))
        if rng.random() < 0.5:
            long = rng.uniform(0.3, 1.3)
            for beside in (across, -across):
                stroke(np.array([middle + beside * wide - up * down for down in (0, long / 2, long)]))
    if has(0.2):
        kind = rng.random()
        for eye in EYES:
            centre, radius = points[eye].mean(0), np.linalg.norm(np.ptp(points[eye], 0)) / 2
            if kind < 0.75:
                stroke(points[eye], closed=True)
            if kind >= 0.75 or has(0.4):
                radius *= rng.uniform(0.25, 0.45)
                pen.ellipse((*(centre - radius), *(centre + radius)), fill=ink)
    if has(0.3):
        for brow in BROWS:
            stroke(points[brow], thickness=rng.uniform(0.8, 1.8))
    if has(0.35):
        stroke(points[NOSE if rng.random() < 0.5 else NOSTRILS])
    if has(0.25):
        if rng.random() < 0.5:
            stroke(points[LIPS], closed=True)
            stroke(points[BETWEEN])
        else:
            stroke(points[SMILE])
    if has(0.5):  # neck and shoulders
        for jaw, beside in ((points[5], -across), (points[11], across)):
            neck = jaw - up * 0.55
            stroke(np.array([jaw, neck, neck + beside * 0.7 - up * 0.2, neck + beside * 2.2 - up * 0.6]))
    grown = outline.mean(0) + (outline - outline.mean(0)) * rng.uniform(1, 1.12)
    ImageDraw.Draw(head).polygon([*map(tuple, grown)], fill=0)
    strokes, outside = (np.array(image.resize((size, size), Image.Resampling.BOX)) for image in (page, head))
    return strokes, outside


def _round(line: Points, closed: bool) -> Points:
    """Cut the corners of a line twice (Chaikin 1974): (N, 2) -> (M, 2)."""
    for _ in range(2):
        ends = np.vstack([line, line[:1]]) if closed else line
        cut = np.stack([0.75 * ends[:-1] + 0.25 * ends[1:], 0.25 * ends[:-1] + 0.75 * ends[1:]], 1).reshape(-1, 2)
        line = cut if closed else np.vstack([line[:1], cut, line[-1:]])
    return line
