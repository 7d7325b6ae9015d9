"""Faces are found where they are, at any tilt, and what is made of them comes back as they were."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, make_pipeline, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cyclegan.convert import convert
from cyclegan.directions import Direction
from cyclegan.faces import Frame, find_face, find_faces, fit_square, frame, frame_square

FACES = [f"{kind}/{name}" for kind in ("photos", "sketches") for name in ("ben", "grace", "david")]


def example(name: str, size: int = 300) -> Image.Image:
    return Image.open(ROOT / f"examples/{name}.webp").convert("RGB").resize((size, size))


def scene(*faces: tuple[str, int, tuple[int, int], float], colour: str = "lightgrey") -> Image.Image:
    """A wide picture with faces in it: each a name, a size in pixels, a centre and a tilt."""
    large = Image.new("RGB", (1200, 800), colour)
    for name, size, (x, y), tilt in faces:
        face, mask = example(name, size), Image.new("L", (size, size), 255)
        face, mask = (one.rotate(-tilt, Image.Resampling.BICUBIC, expand=True) for one in (face, mask))
        large.paste(face, (x - face.width // 2, y - face.height // 2), mask)
    return large


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("tilt", [0, 25, -40])
def test_a_face_in_a_large_picture_is_found_and_its_tilt_measured(name: str, tilt: int) -> None:
    (face,) = find_faces(scene((name, 300, (850, 450), tilt)))
    assert math.dist((face.x, face.y), (850, 450)) < 40
    assert face.side == pytest.approx(300, rel=0.25)
    assert face.tilt == pytest.approx(tilt, abs=8)


@pytest.mark.parametrize("name", FACES)
def test_a_face_that_fills_the_picture_is_not_taken_for_its_mouth(name: str) -> None:
    image = example(name, 1024)
    assert fit_square(image.size, *(find_face(image) or pytest.fail("no face")))[2] > 0.8 * 1024
    inside = example(name, 1024).crop((100, 100, 924, 924))  # closer: the chin and the hair are cut off
    assert fit_square(inside.size, *(find_face(inside) or pytest.fail("no face")))[2] > 0.8 * 824


@pytest.mark.parametrize("name", ["photos/ben", "sketches/ben"])
def test_a_face_in_the_dark_is_found(name: str) -> None:
    dark = scene((name, 400, (500, 400), 0)).point(lambda value: value // 6)
    (face,) = find_faces(dark)
    assert math.dist((face.x, face.y), (500, 400)) < 50


def test_several_faces_are_found_the_largest_first() -> None:
    image = scene(
        ("photos/ben", 400, (250, 300), 0), ("sketches/ben", 250, (650, 500), 15), ("photos/ella", 160, (1000, 200), 0)
    )
    faces = find_faces(image)
    assert [round(face.side, -2) for face in faces] == pytest.approx([400, 300, 200], abs=101)
    for face, centre in zip(faces, [(250, 300), (650, 500), (1000, 200)], strict=True):
        assert math.dist((face.x, face.y), centre) < 45
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = make_pipeline()
        results = pipe.photo_to_sketch([image, image], framing="faces")
        assert [[one.size for one in ones] for ones in results] == [[(32, 32)] * 3] * 2
        largest = pipe.photo_to_sketch(image, framing="face")
    assert largest.tobytes() == results[0][0].tobytes()


@pytest.mark.parametrize(
    "image", [picture(0, (90, 60)), Image.new("RGB", (90, 60), "white"), Image.new("RGB", (5, 40))]
)
def test_without_a_face_it_is_the_middle_and_said(image: Image.Image) -> None:
    assert find_faces(image) == []
    (framed,) = frame(image, "face", "own") if min(image.size) > 16 else frame(image, "face", 16)
    assert not framed.found
    assert framed.square == fit_square(image.size, image.width / 2, image.height / 2, 1e9)
    with pytest.warns(UserWarning, match="No face was found in 1 of 1"):
        assert make_pipeline().photo_to_sketch(image, framing="face").size == (32, 32)


@pytest.mark.parametrize("tilt", [-40, 12, 33])
def test_a_tilted_square_is_turned_upright_and_back(tilt: int) -> None:
    image = scene(("photos/ben", 300, (600, 400), tilt))
    framed = frame_square(image, 600, 400, 300, 300, tilt)
    middle = framed.image.width // 2
    upright = framed.image.crop((middle - 120, middle - 120, middle + 120, middle + 120))
    assert difference(upright, example("photos/ben").crop((30, 30, 270, 270))) < 6
    back = framed.turn_back(framed.image)
    assert back.size == (300, 300)
    assert difference(back, image.crop((450, 250, 750, 550))) < 6


def test_at_the_edge_of_a_picture_what_lies_over_it_is_made_up() -> None:
    image = scene(("photos/ben", 300, (140, 160), 30))
    framed = frame(image, "face", 256)[0]
    assert framed.square
    left, top, side = framed.square
    assert min(left, top) >= 0
    assert (
        difference(framed.turn_back(framed.image), image.crop((left, top, left + side, top + side)).resize((256, 256)))
        < 8
    )


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


def test_the_whole_picture_and_the_middle_look_for_no_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.faces.find_faces", None)
    image = picture(0, (90, 60))
    assert frame(image, "whole", 32)[0].image.size == (48, 32)
    (middle,) = frame(image, "middle", "own")
    assert middle == Frame(middle.image, (15, 0, 60))
    assert middle.image.tobytes() == image.crop((15, 0, 75, 60)).tobytes()


def test_a_release_may_work_at_sizes_that_cannot_be_asked_for() -> None:
    assert make_pipeline(image_size=8).photo_to_sketch(picture(0, (90, 60))).size == (12, 8)
    assert frame(picture(0), "middle", 2048)[0].image.size == (2048, 2048)


def test_size_is_of_the_shorter_side() -> None:
    pipe, image = make_pipeline(), picture(0, (90, 60))
    assert pipe.photo_to_sketch(image, size=48).size == (72, 48)
    assert pipe.photo_to_sketch(image, size="own").size == (90, 60)
    assert pipe.sketch_to_photo(image, size=64, framing="middle").size == (64, 64)
    huge = Image.new("RGB", (1500, 1100))
    assert min(frame(huge, "whole", "own")[0].image.size) == 1024
    for wrong in (7, 5000, 0, -5, True, 48.5, "big", float("nan")):
        with pytest.raises(ValueError, match=f"size must be from 16 to 1024 pixels, or 'own'; got {wrong!r}"):
            pipe.photo_to_sketch(image, size=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="framing must be face, faces, middle or whole; got 'nose'"):
        pipe.photo_to_sketch(image, framing="nose")  # type: ignore[call-overload]


def test_of_several_sizes_each_face_gets_the_one_that_it_has_pixels_for() -> None:
    sizes = (256, 384, 512)
    for side, size in ((100, 256), (256, 256), (300, 256), (342, 384), (450, 384), (456, 512), (2000, 512)):
        assert frame(Image.new("RGB", (side, side + 7)), "whole", sizes)[0].image.width == size, side
        assert frame_square(Image.new("RGB", (2100, 2000)), 1000, 1000, side, sizes).image.width == size, side
    two = scene(("photos/ben", 280, (250, 400), 0), ("photos/grace", 500, (850, 400), 20))
    assert [one.turn_back(one.image).width for one in frame(two, "faces", sizes)] == [512, 256]


def test_the_command_line_gives_a_file_for_each_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_pipeline().save_pretrained(tmp_path / "release")
    (tmp_path / "in").mkdir()
    scene(("photos/ben", 400, (300, 300), 0), ("photos/ella", 250, (900, 500), 0)).save(tmp_path / "in" / "a.png")
    picture(0).save(tmp_path / "in" / "a-2.png")
    status = convert(
        (tmp_path / "in",),
        Direction.PHOTO_TO_SKETCH,
        tmp_path / "out",
        str(tmp_path / "release"),
        framing="faces",
        size=40,
    )
    assert status == 0
    made = {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir()}
    assert made == dict.fromkeys(("a.png", "a-2.png", "a-3.png"), (40, 40))
    assert "No face was found in 1 of them, so the middle was converted" in capsys.readouterr().err


@given(
    st.integers(4, 200), st.integers(4, 200), st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 900)
)  # fmt: skip
def test_a_square_is_brought_inside_the_picture(width: int, height: int, x: float, y: float, side: float) -> None:
    left, top, length = fit_square((width, height), x, y, side)
    assert 1 <= length <= min(width, height)
    assert 0 <= left <= width - length
    assert 0 <= top <= height - length
