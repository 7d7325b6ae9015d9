"""The protocols of published papers, for figures that can be compared with theirs.

- `fs2k`: Fan et al. 2022, "Facial-Sketch Synthesis: A New Challenge", and its FS2KToolbox. Results are made grey (8
  bits), resized to the size of the true picture and compared there. SSIM is MATLAB's `ssim`, which repeats the edges.
- `cufs-scg`: Chen et al. 2023, "Semi-supervised Cycle-GAN for face photo-sketch translation in the wild"
  (https://arxiv.org/abs/2307.10281), and its Face-Sketch-SCG. Pictures are squeezed into 256 x 256, and results into
  200 x 250. Sketches are grey, and FSIM counts the colours of photos.

Every resize is Pillow's bicubic one, which is antialiased as MATLAB's `imresize` is, and every picture has 8 bits.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from ..data.sources import DataError, find_images
from ..images import normalise, open_image, resize_to, to_image, to_tensor
from .pairs import decode_pairs

PublishedName = Literal["fs2k", "cufs-scg"]
ANNOTATIONS = "anno_test.json"
CUFS_INPUT, CUFS_SIZE = (256, 256), (200, 250)  # width and height in pixels
MATLAB_BORDER = 5  # pixels: half of the window of SSIM


@dataclass(frozen=True)
class Published:
    """Pairs that are measured one by one, as pictures with 8 bits."""

    protocol: PublishedName
    images: list[tuple[Image.Image, Image.Image]]
    working_size: int
    names: list[str]
    skipped: list[str]
    batch: int = 1

    @property
    def compared(self) -> str:
        if self.protocol == "fs2k":
            return "compared in grey at the size of the true picture (protocol fs2k)"
        return "compared at 200 x 250 (protocol cufs-scg)"

    @property
    def figures(self) -> dict[str, Any]:
        return {"border": MATLAB_BORDER} if self.protocol == "fs2k" else {"colour": True}

    def working(self, domain: str, rows: slice) -> Tensor:
        image = self._image(domain, rows)
        if domain == "sketch":
            image = image.convert("L").convert("RGB")
        if self.protocol == "fs2k":
            return _as_tensor(resize_to(image, self.working_size))
        return _as_tensor(image.resize(CUFS_INPUT, Image.Resampling.BICUBIC))

    def original(self, domain: str, target: str, rows: slice) -> Tensor:
        return self._compared(self._image(domain, rows), domain, target, rows)

    def result(self, made: Tensor, domain: str, target: str, rows: slice) -> Tensor:
        return self._compared(to_image(made[0]), domain, target, rows)

    def _image(self, domain: str, rows: slice) -> Image.Image:
        return self.images[rows.start][("photo", "sketch").index(domain)]

    def _compared(self, image: Image.Image, domain: str, target: str, rows: slice) -> Tensor:
        if self.protocol == "fs2k" or domain == "sketch":
            image = image.convert("L")
        size = self._image(target, rows).size if self.protocol == "fs2k" else CUFS_SIZE
        return _as_tensor(image.resize(size, Image.Resampling.BICUBIC).convert("RGB"))


def _as_tensor(image: Image.Image) -> Tensor:
    return normalise(to_tensor(image))[None]


def load_published(
    protocol: PublishedName, files: list[tuple[Path, Path]], names: list[str], working_size: int
) -> tuple[Published, list[int]]:
    """Read all pairs, and return them with the numbers of those that could be read.

    Raises:
        DataError: no pair can be read.
    """
    kept, images, skipped = decode_pairs(files, open_image)
    return Published(protocol, images, working_size, [names[number] for number in kept], skipped), kept


def find_fs2k(folder: Path) -> tuple[list[tuple[Path, Path]], list[dict[str, Any]]]:
    """Find the pairs of FS2K's official test split: photo and sketch, and the annotations of each pair.

    The folder is as FS2K is published: `photo/photo1/image0110.jpg` and `sketch/sketch1/sketch0110.png` are a pair, and
    `anno_test.json` names the photos of the split.

    Raises:
        DataError: the annotations or a picture are missing, or are no such file.
    """
    file = folder / ANNOTATIONS
    annotations = read_json(file)
    if not isinstance(annotations, list) or not all(
        isinstance(one, dict) and "image_name" in one and isinstance(one.get("style"), int) for one in annotations
    ):
        raise DataError(f"{file} is not FS2K's annotation file: a list with an image_name and a style in each entry.")
    found = {}
    for kind in ("photo", "sketch"):
        for picture in find_images(folder / kind):
            found[kind, picture.relative_to(folder / kind).with_suffix("").as_posix()] = picture
    pairs, missing = [], []
    for one in annotations:
        photo = str(one["image_name"]).replace("\\", "/")
        keys = ("photo", photo), ("sketch", photo.replace("photo", "sketch").replace("image", "sketch"))
        missing += ["/".join(key) for key in keys if key not in found]
        pairs.append(tuple(found.get(key, Path()) for key in keys))
    if missing or not pairs:
        what = f"{missing[0]}, one of {len(missing)} pictures that it names" if missing else "every name"
        raise DataError(f"{file} does not match the folder: {what}, is missing.")
    return pairs, annotations  # type: ignore[return-value]


def read_json(file: Path) -> Any:
    """Read a JSON file. Raises DataError if there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file} is missing.") from None
    except ValueError as error:  # also of a wrong encoding
        raise DataError(f"{file} is not a JSON file: {error}.") from None
