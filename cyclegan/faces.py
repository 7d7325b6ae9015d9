"""Find the face in a picture, so that it can be framed like the training pictures."""

from functools import cache
from threading import Lock

import cv2
import cv2.data
import numpy as np
from PIL import Image

SEARCHED = 640  # the longer side in pixels of what is searched: a face of a tenth of it is found
FACE = 0.6  # the detector's box in the training photos: this share of the square's width, centred
_LOCK = Lock()  # a cascade keeps scratch memory: one thread at a time


@cache
def _detector() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_alt2.xml")


def find_face(image: Image.Image) -> tuple[float, float, float] | None:
    """Find the largest upright face that looks at the camera, with OpenCV's Haar cascade (Viola and Jones, 2001).

    Returns:
        The centre (x, y) and the side of the square to convert, in pixels, or None if no face is found. The square may
        extend beyond the picture.
    """
    grey = image.convert("L")
    grey.thumbnail((SEARCHED, SEARCHED))
    with _LOCK:
        boxes = _detector().detectMultiScale(np.asarray(grey), 1.1, 5, minSize=(SEARCHED // 16, SEARCHED // 16))
    if not len(boxes):
        return None
    scale = image.width / grey.width
    x, y, side, _ = (scale * float(value) for value in max(boxes, key=lambda box: box[2]))
    return x + side / 2, y + side / 2, side / FACE


def fit_square(size: tuple[int, int], x: float, y: float, side: float) -> tuple[int, int, int]:
    """Move a square centred at (x, y) into a picture of the given size: left, top and side in whole pixels."""
    side = max(1, round(min(side, *size)))
    left, top = (
        round(min(max(centre - side / 2, 0), length - side)) for centre, length in zip((x, y), size, strict=True)
    )
    return left, top, side
