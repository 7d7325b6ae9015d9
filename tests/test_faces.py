"""Faces are found where they are, and the crop stays inside the picture."""

import pytest
from conftest import ROOT, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import app
from cyclegan.faces import crop, find_face


@pytest.mark.parametrize("name", ["photos/ben", "sketches/ben", "photos/grace"])
def test_a_face_in_a_large_picture_is_found_and_framed(name: str) -> None:
    face = Image.open(ROOT / f"examples/{name}.png").convert("RGB").resize((300, 300))
    large = Image.new("RGB", (1200, 800), "lightgrey")
    large.paste(face, (700, 350))
    found = find_face(large)
    assert found
    x, y, side = found
    assert abs(x - 850) < 30
    assert abs(y - 500) < 30
    assert abs(side - 300) < 90
    assert app.frame(large, "face").size == (round(side), round(side))
    assert app.frame(large, "middle").size == (800, 800)
    assert app.frame(large, "whole").size == (1200, 800)


def test_without_a_face_it_is_the_middle() -> None:
    image = picture(0, (90, 60))
    assert find_face(image) is None
    assert app.frame(image, "face").tobytes() == image.crop((15, 0, 75, 60)).tobytes()
    assert app.frame(image, "face", zoom=2, right=0.5, down=-1).tobytes() == image.crop((45, 0, 75, 30)).tobytes()


@given(
    st.integers(4, 200), st.integers(4, 200), st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 900)
)  # fmt: skip
def test_a_crop_is_a_square_inside_the_picture(width: int, height: int, x: float, y: float, side: float) -> None:
    image = Image.new("RGB", (width, height), "white")
    square = crop(image, x, y, side)
    assert square.width == square.height
    assert 1 <= square.width <= min(width, height)
    assert square.getextrema() == ((255, 255),) * 3, "nothing from outside, which would be black"
