import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from cyclegan import decoding
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


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF", "MPO"])
def test_formats(file_format: str) -> None:
    opened = open_image(encoded(picture(0, (34, 22)), file_format))
    assert opened.size == (34, 22)
    assert np.abs(np.asarray(opened, np.int16) - np.asarray(picture(0, (34, 22)))).mean() < 20


@pytest.mark.parametrize("file_format", ["TIFF", "AVIF"])  # whose decoders may take any time
def test_a_process_apart_gives_the_same_picture_shrunk(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = encoded(picture(0, (480, 330)), file_format)
    whole = open_image(photo)
    monkeypatch.setattr(Image, "open", None)
    shrunk = open_image(photo, size=30, apart=True)
    assert shrunk.size == (160, 110), "a third, and at least three times 30"
    assert shrunk.tobytes() == whole.reduce(3).tobytes()


def exif_bomb(file_format: str) -> bytes:
    """A file of 1.2 MB in which 40,000 tags hold the same 0.5 MB: Pillow makes 20 GB of them."""
    count, length = 40_000, 500_000
    tags = b"".join(struct.pack("<HHII", 512 + number, 1, length, 26) for number in range(count))
    exif = b"II*\0" + struct.pack("<IH", 8, count) + tags + bytes(length)
    if file_format == "TIFF":
        return exif
    whole, part = encoded(picture(0), "JPEG"), 65_000
    parts = [b"Exif\0\0" + exif[start : start + part] for start in range(0, len(exif), part)]
    return whole[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in parts) + whole[20:]


@pytest.mark.parametrize("file_format", ["TIFF", "JPEG"])
def test_tags_that_unpack_to_gigabytes_are_ended_in_their_process(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)  # in this process
    monkeypatch.setattr(decoding, "APART_SECONDS", 5)
    with pytest.raises(ImageError, match=r"^bomb takes too much|^bomb is .*damaged|^bomb is not a picture"):
        open_image(exif_bomb(file_format), "bomb", apart=True)


def test_what_a_process_apart_refuses_is_told_in_the_same_words() -> None:
    for content, limit in ((b"II*\0", 10**6), (encoded(picture(0), "TIFF"), 1000)):
        sentences = set()
        for apart in (False, True):
            with pytest.raises(ImageError) as caught:
                open_image(content, "holiday.tif", limit=limit, apart=apart)
            sentences.add(str(caught.value))
        assert len(sentences) == 1, sentences


def test_a_spare_process_that_was_killed_is_replaced() -> None:
    photo = encoded(picture(0), "TIFF")
    open_image(photo, apart=True)
    for spare in decoding._spare:
        spare.kill()
        spare.wait()
    assert open_image(photo, apart=True).size == (48, 40)


@pytest.mark.parametrize("file_format", ["JPEG2000", "PPM", "ICO", "TGA", "EPS", "PDF", "DDS", "QOI", "PCX", "SGI"])
def test_other_formats_are_not_opened(file_format: str) -> None:
    with pytest.raises(ImageError, match="not a picture in a supported format"):
        open_image(encoded(picture(0, (32, 32)), file_format))


def webp(kind: bytes, content: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize(
    "content",
    [
        webp(b"VP8X", bytes(4) + b"\xff\x3f\0\xff\x3f\0"),
        webp(b"VP8L", b"\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00"),
        webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f\0\0"),
    ],
)
def test_a_webp_bomb_is_refused_before_pillow_sees_it(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageError, match=r"16383 x 16383|16384 x 16384"):
        open_image(content)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF"])
def test_a_limit_holds_before_anything_is_decoded(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(0, (80, 60)), file_format)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    with pytest.raises(ImageError, match="80 x 60 pixels, over the limit"):
        open_image(content, limit=4799)


def test_what_pillow_decodes_in_python_is_limited() -> None:
    """A BMP with run-length encoding takes a microsecond a pixel."""
    for width, words in ((2000, "2000 x 1000 pixels, over the limit of 1 million"), (20, "damaged")):
        header = struct.pack("<IiiHHIIiiII", 40, width, 1000, 1, 8, 1, 4, 0, 0, 256, 0) + bytes(1024)
        with pytest.raises(ImageError, match=words):
            open_image(b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + b"\0\1\0\0")


def test_a_picture_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "APART_SECONDS", 0.001)
    photo = encoded(picture(0), "JPEG", progressive=True)  # its scans may be without number
    with pytest.raises(ImageError, match="takes too much time"):
        open_image(photo, apart=True)
    assert open_image(photo).size == (48, 40)


@pytest.mark.parametrize("odd", ["nothing", "resolution", "maker"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_only_the_orientation_is_read_of_exif(file_format: str, odd: str) -> None:
    """Odd tags: the resolution is said to be text, or the maker's name, which comes first, to lie outside the file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 72.0
    if file_format != "TIFF":
        exif[0x010F] = "A maker of cameras"
    image = picture(0, (40, 20))

    def spoil(content: bytes) -> bytes:
        for order in "<>":
            place = content.find(struct.pack(f"{order}HHI", 0x010F, 2, 19)) + 8
            if odd == "resolution":
                content = content.replace(struct.pack(f"{order}HH", 0x011A, 5), struct.pack(f"{order}HH", 0x011A, 2))
            elif odd == "maker" and place >= 8:
                content = content[:place] + b"\x70\xff\xff\xff" + content[place + 4 :]
        return content

    given: object = exif if file_format == "TIFF" else exif.tobytes()
    if file_format == "PNG":  # has a checksum; others may refuse to write it
        given = spoil(exif.tobytes())
    content = spoil(encoded(image, file_format, exif=given))
    upright = np.asarray(open_image(content), np.int16)
    assert np.abs(upright - np.asarray(image.rotate(-90, expand=True))).mean() < 12


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
        (b"", "is empty. Save or download it again"),
        (b"<html>hello</html>", "not a picture"),
        (encoded(picture(0, (200, 200)))[:2000], "cut off or damaged"),
        (encoded(picture(0, (200, 200))).replace(b"IDAT", b"IDAT\xff", 1), "cut off or damaged"),
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


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE])
def test_what_the_file_system_refuses_is_not_called_damaged(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match=rf"^face\.png cannot be read: {os.strerror(number)}\.$"):
        open_image("face.png")


def test_a_long_reason_is_told_in_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Image.Image:
        raise ValueError("Extent is\nout of bounds\n" + "x" * 9999)

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match=r"\(Extent is out of bounds x{176}\)\. Save or download it again"):
        open_image(encoded(picture(0)))
