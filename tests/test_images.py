import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cyclegan.images import (
    ImageError,
    crop_square,
    denormalise,
    normalise,
    open_image,
    pad_to_multiple,
    resize_to,
    to_image,
    to_tensor,
)

sides = st.integers(4, 300)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@given(
    width=sides,
    height=sides,
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]),
)
def test_every_size_and_mode_becomes_rgb_of_the_same_size(width: int, height: int, mode: str) -> None:
    image = open_image(Image.new(mode, (width, height), 0))
    assert image.mode == "RGB"
    assert image.size == (width, height)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "PPM", "ICO", "TGA"])
def test_formats(file_format: str) -> None:
    size = (32, 32) if file_format == "ICO" else (33, 21)
    assert open_image(encoded(picture(0, size), file_format)).size == size


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    image = picture(0, (40, 20))
    upright = open_image(encoded(image, "PNG", exif=exif))
    assert upright.size == (20, 40)
    assert upright.tobytes() == image.rotate(-90, expand=True).tobytes()


def test_a_large_jpeg_is_unpacked_smaller_and_looks_the_same() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encoded(picture(0, (1600, 1200)), "JPEG", exif=exif)
    whole, small = open_image(photo), open_image(photo, size=64)
    assert whole.size == (1200, 1600)
    assert small.size == (300, 400), "a quarter, and at least three times 64"
    different = np.asarray(resize_to(whole, 64), np.int16) - np.asarray(resize_to(small, 64))
    assert np.abs(different).mean() < 1
    assert open_image(photo, size=128).size == (600, 800)
    assert open_image(photo, size=256).size == (1200, 1600)


def test_transparency_lies_on_white() -> None:
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.putpixel((3, 3), (200, 0, 0, 255))
    opened = open_image(encoded(image))
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((3, 3)) == (200, 0, 0)
    palette = Image.new("P", (8, 8), 0)
    assert open_image(encoded(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_keep_their_range() -> None:
    grey = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    opened = np.asarray(open_image(encoded(Image.fromarray(grey))))
    np.testing.assert_allclose(opened[..., 0], grey / 257, atol=1)
    dark = np.full((8, 8), 200, np.uint16)
    assert np.asarray(open_image(encoded(Image.fromarray(dark)))).max() <= 1
    unit = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    assert open_image(encoded(unit, "TIFF")).getpixel((0, 0)) == (127, 127, 127)


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header claims 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a picture"),
        (b"<html>hello</html>", "not a picture"),
        (encoded(picture(0, (200, 200)))[:2000], "cut off or damaged"),
        (encoded(picture(0, (200, 200)), "JPEG")[:1500], "cut off or damaged"),
        (encoded(Image.new("RGB", (1, 1))), "1 x 1 pixels"),
        (encoded(Image.new("RGB", (12_000, 9_000))), "12000 x 9000 pixels, over the limit"),
        (bomb(), "over the limit"),
    ],
)
def test_bad_pictures_get_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "holiday.png"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        open_image(file)
    assert "holiday.png" in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        open_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="cannot be read"):
        open_image(tmp_path)


@given(width=sides, height=sides)
def test_resize_keeps_the_shape_of_the_picture(width: int, height: int) -> None:
    resized = resize_to(Image.new("RGB", (width, height)), 64)
    assert min(resized.size) == 64 or max(resized.size) == 256
    if max(width, height) <= 4 * min(width, height):
        assert resized.width / resized.height == pytest.approx(width / height, rel=0.02)


def test_extreme_shapes_stay_small() -> None:
    assert resize_to(Image.new("RGB", (12_000, 20)), 128).size == (512, 4)


def test_crop_square_takes_the_middle() -> None:
    image = Image.new("RGB", (30, 10), "black")
    image.paste("white", (10, 0, 20, 10))
    assert np.asarray(crop_square(image, 10)).min() == 255


def test_tensors_and_pictures_are_the_same_pixels() -> None:
    image = picture(3)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 40, 48)
    assert to_image(normalise(tensor)).tobytes() == image.tobytes()
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]
    assert denormalise(torch.tensor([-7.0, 0.0, 7.0])).tolist() == [0, 128, 255]


@given(width=st.integers(2, 40), height=st.integers(2, 40), multiple=st.sampled_from([4, 8]))
def test_padding_is_to_multiples_and_keeps_the_picture(width: int, height: int, multiple: int) -> None:
    image = torch.rand(1, 3, height, width)
    padded = pad_to_multiple(image, multiple)
    assert padded.shape[-1] % multiple == padded.shape[-2] % multiple == 0
    assert min(padded.shape[-2:]) >= 2 * multiple
    assert padded.shape[-1] < max(width + multiple, 2 * multiple + 1)
    assert torch.equal(padded[..., :height, :width], image)
