"""Drawings and photos as they come from a phone are evened out, and good ones are left alone."""

import numpy as np
import pytest
from conftest import ROOT, make_pipeline
from PIL import Image

from cyclegan.images import prepare_photo, prepare_sketch
from cyclegan.prepare import judge

Values = np.ndarray
SKETCHES = sorted((ROOT / "examples" / "sketches").glob("*.webp"))
PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.webp"))


def values_of(image: Image.Image) -> Values:
    return np.asarray(image.convert("RGB"), np.float32)


def image_of(values: Values) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def sketch(name: str = "ben", size: int = 256) -> Values:
    return values_of(Image.open(ROOT / f"examples/sketches/{name}.webp").resize((size, size)))


def noise(deviation: float, size: int = 256) -> Values:
    return np.random.default_rng(0).normal(0, deviation, (size, size, 1)).astype(np.float32)


def shadow(size: int = 256) -> Values:
    """0.5 at the lower right, 1 elsewhere, with a soft edge."""
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    return (1 - 0.5 / (1 + np.exp((0.7 - x - y / 2) / 0.04)))[..., None].astype(np.float32)


def printed(step: int, squares: bool, size: int = 256) -> Values:
    """Lines on paper, also squares: 0.75 where they are, 1 elsewhere, a little askew."""
    y, x = np.mgrid[:size, :size]
    lines = [np.abs(along % step - 1) < 0.7 for along in (y + x / 20, x - y / 20)[: 1 + squares]]
    return np.where(np.any(lines, 0), 0.75, 1)[..., None].astype(np.float32)


KRAFT = np.array([196, 158, 112], np.float32) / 255
SPOILED = {
    "shadow": sketch() * shadow(),
    "kraft": sketch() * KRAFT + noise(4),
    "yellowed": sketch() * np.array([0.96, 0.88, 0.68], np.float32),
    "blackboard": (255 - sketch()) * 0.85 + np.array([28, 38, 32], np.float32) + noise(3),
    "dim": sketch() * 0.45,
    "shadow on kraft": sketch("anna") * KRAFT * shadow(),
    "white on black": 255 - sketch(),
    "squared": sketch() * printed(12, squares=True),
    "lined, in shadow": sketch() * printed(20, squares=False) * shadow(),
}


@pytest.mark.parametrize("path", SKETCHES, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [256, 512])
def test_a_good_drawing_stays_as_it_was(path: object, size: int) -> None:
    image = Image.open(str(path)).convert("RGB").resize((size, size))
    assert judge(image) == "drawing"
    assert prepare_sketch(image).tobytes() == image.tobytes()
    grainy = image_of(values_of(image) + noise(5, size))
    assert prepare_sketch(grainy).tobytes() == grainy.tobytes()


@pytest.mark.parametrize("kind", SPOILED)
def test_paper_gets_white_and_strokes_stay(kind: str) -> None:
    good = sketch("anna" if kind == "shadow on kraft" else "ben").mean(2)
    made = values_of(prepare_sketch(image_of(SPOILED[kind])))
    assert np.ptp(made, 2).max() == 0
    made = made[..., 0]
    paper, strokes = good > 240, good < 90
    assert np.median(made[paper]) > 235
    assert np.percentile(made[paper], 3) > 190
    assert np.median(made[strokes]) < 110
    assert np.corrcoef(made.ravel(), good.ravel())[0, 1] > 0.9


def test_coloured_fills_become_light_and_their_lines_stay() -> None:
    lines = sketch()
    filled = lines.copy()
    filled[60:230, 70:186] *= np.array([240, 180, 140], np.float32) / 255
    filled[30:80, 70:186] *= np.array([120, 70, 30], np.float32) / 255
    made = values_of(prepare_sketch(image_of(filled)))[..., 0]
    inside = np.zeros((256, 256), bool)
    inside[35:225, 75:180] = True
    assert np.percentile(made[inside & (lines.mean(2) > 240)], 5) > 180
    assert np.median(made[inside & (lines.mean(2) < 60)]) < 110


def test_faint_strokes_get_darker() -> None:
    faint = image_of(255 - (255 - sketch()) * 0.15)
    strokes = sketch().mean(2) < 90
    before, after = (values_of(image)[strokes].mean() for image in (faint, prepare_sketch(faint)))
    assert after < before - 30


@pytest.mark.parametrize(
    "page",
    [
        np.full((256, 256, 3), 255.0),
        np.full((256, 256, 3), 0.0),
        np.full((256, 256, 3), 1.0) * KRAFT * 255 + noise(4),
        np.full((256, 256, 3), 245.0) * shadow(),
    ],
    ids=["white", "black", "kraft", "shadow"],
)
def test_a_blank_page_is_answered_with_a_blank_page(page: Values) -> None:
    image = image_of(page)
    assert judge(image) == "blank"
    assert prepare_sketch(image).tobytes() == image.tobytes()
    pipe = make_pipeline()
    for convert in (pipe.sketch_to_photo, pipe.photo_to_sketch):
        with pytest.warns(UserWarning, match="1 of 2 are blank"):
            answer, other = convert([image, image_of(sketch())])
        assert answer.getextrema() == ((255, 255),) * 3
        assert other.getextrema() != answer.getextrema()
    assert pipe.sketch_to_photo(image, prepare=False).getextrema() != answer.getextrema()


def test_a_single_stroke_is_no_blank_page() -> None:
    page = np.full((256, 256, 3), 255.0, np.float32)
    page[100:103, 60:120] = 0
    assert judge(image_of(page)) == "drawing"


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_a_photo_is_known_and_left_alone(path: object) -> None:
    image = Image.open(str(path)).convert("RGB")
    assert judge(image) == "photo"
    assert prepare_sketch(image).tobytes() == prepare_photo(image).tobytes() == image.tobytes()


@pytest.mark.parametrize(("gain", "floor"), [(0.15, 0), (0.25, 30), (0.25, 170)])
def test_a_dark_or_faded_photo_is_brought_to_a_normal_range(gain: float, floor: float) -> None:
    good = values_of(Image.open(PHOTOS[1]))
    made = values_of(prepare_photo(image_of(good * gain + floor + noise(1))))
    low, high = np.percentile(made, [2, 98])
    assert high - low > 150
    assert np.corrcoef(made.mean(2).ravel(), good.mean(2).ravel())[0, 1] > 0.95


def test_what_is_prepared_can_be_switched_off() -> None:
    pipe, dim = make_pipeline(), image_of(SPOILED["kraft"])
    assert pipe.sketch_to_photo(dim).tobytes() != pipe.sketch_to_photo(dim, prepare=False).tobytes()


@pytest.mark.parametrize("size", [(4, 4), (5, 300), (33, 17), (3000, 40)])
def test_any_shape_is_prepared(size: tuple[int, int]) -> None:
    image = image_of(np.random.default_rng(0).uniform(0, 200, (size[1], size[0], 3)))
    assert prepare_sketch(image).size == prepare_photo(image).size == size
