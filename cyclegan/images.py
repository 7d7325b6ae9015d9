"""The only code that turns files into PIL images, and PIL images into tensors and back.

Everywhere else, a picture is RGB: a `PIL.Image.Image`, or a tensor (3, H, W) with values in [-1, 1].
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from .decoding import ENDINGS, MIN_SIDE, REDUCING_GAP, ImageError, open_image
from .prepare import prepare_photo, prepare_sketch

__all__ = [
    "ENDINGS", "ImageError", "crop_square", "denormalise", "normalise", "open_image", "pad_to_multiple",
    "prepare_photo", "prepare_sketch", "resize_to", "to_image", "to_tensor",
]  # fmt: skip


def crop_square(image: Image.Image, size: int) -> Image.Image:
    """Crop a picture to its largest centred square and resize that to `size` x `size`."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def resize_to(image: Image.Image, size: int) -> Image.Image:
    """Resize a picture so that its shorter side is `size`, or its longer side 4 x `size` if that is less."""
    scale = min(size / min(image.size), 4 * size / max(image.size))
    width, height = (max(MIN_SIDE, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP)


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image -> (3, H, W) uint8 in [0, 255]."""
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] -> RGB image. Values outside this range are clamped."""
    values = picture.float().cpu().numpy().transpose(1, 2, 0)  # (H, W, 3)
    return Image.fromarray(((values + 1) * 127.5).round().clip(0, 255).astype(np.uint8))


def normalise(pixels: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [-1, 1]."""
    # On the CPU by NumPy, as in `to_image`: torch wakes all its threads for each step, and an engine has its own
    values = pixels.numpy().astype(np.float32) if pixels.is_cpu else pixels.float()
    values /= 127.5
    values -= 1
    return torch.as_tensor(values)


def denormalise(picture: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 in [0, 255], rounded."""
    return picture.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def pad_to_multiple(pictures: Tensor, multiple: int) -> Tensor:
    """Reflect the right and lower edges until H and W are multiples: (B, 3, H, W) -> (B, 3, H', W').

    Each side becomes at least two multiples long, since reflection padding inside the generator needs two rows.
    """
    height, width = pictures.shape[-2:]
    right, down = (max(2 * multiple, -(-side // multiple) * multiple) - side for side in (width, height))
    while right or down:  # one reflection can add at most the side less one
        step_right, step_down = min(right, pictures.shape[-1] - 1), min(down, pictures.shape[-2] - 1)
        pictures = F.pad(pictures, (0, step_right, 0, step_down), mode="reflect")
        right, down = right - step_right, down - step_down
    return pictures
