"""The only code that turns files into PIL images, and PIL images into tensors and back.

Everywhere else, a picture is RGB: a `PIL.Image.Image`, or a tensor (3, H, W) with values in [-1, 1].
"""

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .decoding import ENDINGS, MAX_PIXELS, MIN_SIDE, REDUCING_GAP, ImageError, decode
from .prepare import prepare_photo, prepare_sketch

__all__ = [
    "ENDINGS", "ImageError", "crop_square", "denormalise", "normalise", "open_image", "pad_to_multiple",
    "prepare_photo", "prepare_sketch", "resize_to", "to_image", "to_tensor",
]  # fmt: skip

Openable = str | Path | bytes | Image.Image


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
        apart: decode a large picture in a process of its own, which is ended where it takes too much time or memory.

    Raises:
        ImageError: the picture is missing, damaged, no picture at all, too small or too large.
    """
    name = name or (str(source) if isinstance(source, str | Path) else "This picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; the limit is what counts
            return decode(source, name, size, limit, apart)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}.") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture in a supported format. Use a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name} unpacks to over the limit of {limit // 10**6} million pixels. Make it smaller first."
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(f"{name} is cut off or damaged ({error}). Save or download it again.") from None


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
