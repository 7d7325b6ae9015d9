from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from cyclegan.images import normalise, to_tensor
from cyclegan.palette import HAIRS, PARTS, SKINS, ChoiceError, make_palette, read_palette, recolour, search_places


def face(skin: str, hair: str | None, background: str, size: int = 128) -> Tensor:
    """A drawn face, framed as the data set's photos are, with eyes, a mouth, shadow and a shirt: (3, H, W)."""
    image = Image.new("RGB", (size, size), background)
    draw = ImageDraw.Draw(image)

    def ellipse(box: tuple[float, float, float, float], fill: str) -> None:
        draw.ellipse([share * size for share in box], fill=fill)

    ellipse((0.05, 0.88, 0.95, 1.4), "#223355")  # the shirt
    ellipse((0.42, 0.7, 0.58, 1.0), skin)
    ellipse((0.22, 0.02, 0.78, 0.7), hair or skin)
    ellipse((0.27, 0.16, 0.73, 0.86), skin)
    for eye in (0.39, 0.61):
        ellipse((eye - 0.05, 0.42, eye + 0.05, 0.47), "white")
        ellipse((eye - 0.02, 0.42, eye + 0.02, 0.47), "#331100")
    ellipse((0.4, 0.68, 0.6, 0.74), "#a03030")
    ellipse((0.47, 0.6, 0.53, 0.63), "#804030")  # the shadow under the nose
    return normalise(to_tensor(image))


FACES = [
    ("#e0ac69", "#2a1a10", "#cccccc"),
    ("#5b3a24", "#0a0a0a", "#ffffff"),
    ("#f3d6c4", "#e8d080", "#205080"),
    ("#c68642", "#8d4a1f", "#101010"),
]


@pytest.mark.parametrize("size", [64, 128, 200])
def test_the_colours_of_drawn_faces_are_read(size: int) -> None:
    palette = read_palette(torch.stack([face(*colours, size) for colours in FACES]))
    assert palette.shape == (len(FACES), 3, 4)
    for read, colours in zip(palette, FACES, strict=True):
        asked = make_palette(**dict(zip(PARTS, colours, strict=True)))[0]
        assert (read - asked).abs().max() < 8 / 127.5


def test_faces_get_the_colours_that_are_drawn_and_keep_the_others() -> None:
    faces = torch.stack([face(*colours) for colours in FACES])
    numbers = torch.full((len(FACES), 3, 4), 0.5)
    assert torch.equal(recolour(faces, numbers), faces)

    numbers[:, :, 0] = 0.0
    numbers[:, 0, 1] = torch.tensor([0.0, 1.0, 3.0, 5.0]) / (len(SKINS) - 1)
    numbers[:, 1, 1] = torch.tensor([5.0, 1.0, 0.0, 4.0]) / (len(HAIRS) - 1)
    numbers[:, 2, 1:] = torch.tensor([[0.1, 0.3, 0.8], [0.9, 0.9, 0.9], [0.5, 0.1, 0.1], [0.2, 0.6, 0.2]])
    read = read_palette(recolour(faces, numbers))[..., :3]
    for row, (skin, hair) in enumerate([(0, 5), (1, 1), (3, 0), (5, 4)]):
        wanted = make_palette(skin=SKINS[skin], hair=HAIRS[hair])[0, :2, :3]
        assert (read[row, 0] - wanted[0]).abs().max() < 0.1
        assert (read[row, 1] - wanted[1]).abs().max() < 0.35
        assert (read[row, 2] - (2 * numbers[row, 2, 1:] - 1)).abs().max() < 0.3

    numbers[:, 1:, 0] = 1.0  # the skin alone
    changed = (recolour(faces, numbers) - faces).abs().amax(1) > 0.05
    assert changed[:, 70:80, 55:75].all()
    assert not changed[:, :, :5].any() and not changed[:, :5].any()


def test_a_bald_head_has_no_hair() -> None:
    (palette,) = read_palette(face("#c68642", None, "#eeeeee")[None])
    assert palette[:, 3].tolist() == [1, 0, 1]
    assert not palette[1].any()


def test_grain_and_light_change_little() -> None:
    picture = face(*FACES[0])
    light = torch.linspace(-0.12, 0.12, 128)
    noisy = (picture + light + 0.05 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))).clamp(
        -1, 1
    )
    assert (read_palette(noisy[None]) - read_palette(picture[None])).abs().max() < 15 / 127.5


def test_crops_are_read_where_they_show_something() -> None:
    whole = face(*FACES[0], 128)[None]
    places = search_places(128)
    cheeks, lower = (slice(40, 104), slice(32, 96)), (slice(96, 128), slice(0, 32))
    palette = read_palette(whole[:, :, *cheeks], places[:, :, *cheeks])
    assert (palette[0, 0] - read_palette(whole)[0, 0]).abs().max() < 8 / 127.5
    assert not read_palette(whole[:, :, *lower], places[:, :, *lower]).any(), "only the shirt is there"


def test_the_gradient_moves_the_colours_that_are_read() -> None:
    picture = face(*FACES[1])[None].requires_grad_()
    read_palette(picture)[0, 0, 0].backward()
    assert picture.grad is not None
    moved = picture.grad[0].abs().sum(0).nonzero()
    assert len(moved) > 100
    assert 0.45 < moved.float().mean(0)[0] / 128 < 0.65, "on the cheeks"


def test_a_given_palette_holds_what_was_given() -> None:
    palette = make_palette(skin="#ff0000", hair=None, background="black")
    assert palette.tolist() == [[[1, -1, -1, 1], [0, 0, 0, 0], [-1, -1, -1, 1]]]
    assert make_palette(hair="rgb(999, 0, 0)").tolist() == make_palette(hair="red").tolist()
    nonsense: list[Any] = ["straw", "", 5, True, ["black"], {}, f"rgb({'9' * 400}, 0, a)"]
    for colour in nonsense:
        with pytest.raises(ChoiceError, match=r"hair must be a colour such as .*; got "):
            make_palette(hair=colour)
