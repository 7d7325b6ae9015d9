"""Faces are found where they are, and the square to convert stays inside the picture."""

import pytest
from conftest import ROOT, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import app
from cyclegan.faces import find_face, fit_square


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
    framed, square = app.frame(large, "face")
    assert framed.size == (round(side), round(side))
    assert square == pytest.approx([(x - side / 2) / 800, (y - side / 2) / 800, side / 800], abs=0.002)
    assert app.frame(large, "middle")[0].size == (800, 800)
    assert app.frame(large, "whole") == (large, None)


def test_without_a_face_it_is_the_middle() -> None:
    image = picture(0, (90, 60))
    assert find_face(image) is None
    for framing in ("face", "own"):
        framed, square = app.frame(image, framing)
        assert framed.tobytes() == image.crop((15, 0, 75, 60)).tobytes()
        assert square == [0.25, 0, 1]


def test_a_visitors_own_square_counts_and_stays_inside() -> None:
    image = picture(0, (90, 60))
    framed, square = app.frame(image, "own", [0.5, -1, 0.5])
    assert framed.tobytes() == image.crop((30, 0, 60, 30)).tobytes()
    assert square == [0.5, 0, 0.5]


@given(
    st.integers(4, 200), st.integers(4, 200), st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 900)
)  # fmt: skip
def test_a_square_is_brought_inside_the_picture(width: int, height: int, x: float, y: float, side: float) -> None:
    left, top, length = fit_square((width, height), x, y, side)
    assert 1 <= length <= min(width, height)
    assert 0 <= left <= width - length
    assert 0 <= top <= height - length
