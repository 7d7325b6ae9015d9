"""Styles and palettes, from the release to the picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, command, picture
from PIL import Image

from cyclegan import FaceSketchPipeline
from cyclegan.engines.build import EngineError, build
from cyclegan.engines.export import _write
from cyclegan.engines.onnx import sample
from cyclegan.images import normalise, to_tensor
from cyclegan.networks import Generator, PatchDiscriminator
from cyclegan.palette import PALETTE_SIZE, ChoiceError, make_palette, read_palette
from cyclegan.release import WeightsError

STYLES = ["bold", "fine", "soft"]


def told(**options: Any) -> Generator:
    """A generator whose condition changes the picture, as after training."""
    generator = Generator(**options)
    torch.nn.init.normal_(generator.condition.weight, 0, 0.5)
    return generator.eval()


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    generators = told(width=4, blocks=1, conditions=3), told(width=4, blocks=1, conditions=PALETTE_SIZE)
    folder = tmp_path_factory.mktemp("conditional")
    FaceSketchPipeline(*generators, 32, "cpu", styles=STYLES).save_pretrained(folder)
    return folder


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32)


@pytest.mark.parametrize("compact", [False, True])
def test_no_condition_and_zeros_change_nothing(compact: bool) -> None:
    torch.manual_seed(0)
    old = Generator(4, 2, compact=compact)
    new = told(width=4, blocks=2, compact=compact, conditions=5)
    new.load_state_dict(old.state_dict(), strict=False)
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    assert torch.equal(new(images), old(images))
    assert torch.equal(new(images, torch.zeros(2, 5)), old(images))
    assert not Generator(4, 2, compact=compact, conditions=5).condition.weight.any(), "before training"


@pytest.mark.parametrize("compact", [False, True])
def test_each_picture_follows_its_own_condition(compact: bool) -> None:
    generator = told(width=4, blocks=1, compact=compact, conditions=3)
    images, conditions = torch.rand(1, 3, 32, 32).expand(3, -1, -1, -1), torch.eye(3)
    together = generator(images, conditions)
    for number in range(3):
        torch.testing.assert_close(
            together[number : number + 1], generator(images[:1], conditions[number : number + 1])
        )
    assert (together[0] - together[1]).abs().mean() > 0.01


def test_a_discriminator_judges_each_picture_by_its_style() -> None:
    discriminator = PatchDiscriminator(4, styles=3)
    images, style = torch.rand(3, 3, 32, 32), torch.tensor([2, 0, 1])
    scores = discriminator(images, style)
    assert scores.shape == (3, 1, 2, 2)
    assert torch.equal(scores[0, 0], discriminator.layers(images)[0, 2])


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("compact", [False, True])
def test_engines_take_conditions(name: str, compact: bool) -> None:
    torch.manual_seed(0)
    generator = told(width=8, blocks=1, upsample="resize", compact=compact, conditions=3)
    try:
        engine = build(name, generator, 32)
    except EngineError as error:
        pytest.skip(str(error))
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        for condition in (None, torch.eye(3)[:2], torch.eye(3)[2:]):
            for large in (False, True):
                made, wanted = (network(images, condition, large) for network in (engine, generator))
                torch.testing.assert_close(made, wanted, atol=0.02, rtol=0)


def test_eight_bits_keep_what_is_asked_for() -> None:
    pytest.importorskip("nncf")
    pipe = FaceSketchPipeline.from_pretrained(direction="sketch_to_photo", device="cpu")
    engine = build("openvino-int8", pipe.photo_generator, 64)
    images = sample(1, 64)
    with torch.inference_mode():
        for condition in (None, make_palette(skin="#5b3a24").flatten(1), make_palette(hair="red").flatten(1)):
            made, wanted = (network(images, condition) for network in (engine, pipe.photo_generator))
            assert (made - wanted).abs().mean() < 0.04


def test_an_exported_file_does_without_its_condition(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    generator, path = told(width=4, blocks=1, conditions=3), tmp_path / "generator.onnx"
    _write("onnx", generator, path, large=False, calibrating=None)
    session = onnxruntime.InferenceSession(path)
    images, style = torch.rand(2, 3, 32, 32), torch.eye(3)[1:2]
    with torch.inference_mode():
        for given, wanted in (({}, generator(images)), ({"condition": style.numpy()}, generator(images, style))):
            made = session.run(None, {"picture": images.numpy()} | given)[0]
            torch.testing.assert_close(torch.from_numpy(made), wanted, atol=1e-4, rtol=0)


def test_a_release_keeps_styles_and_palette(conditional: Path) -> None:
    config = json.loads((conditional / "config.json").read_text())
    assert (config["format_version"], config["styles"], config["palette"]) == (4, STYLES, True)
    pipe = FaceSketchPipeline.from_pretrained(conditional, device="cpu")
    assert pipe.styles == STYLES
    one = pipe.photo_to_sketch(picture(0), style="fine")
    assert one.tobytes() == pipe.photo_to_sketch([picture(0)], style="fine")[0].tobytes()
    assert np.abs(pixels(one) - pixels(pipe.photo_to_sketch(picture(0), style="bold"))).mean() > 1
    only_photos = FaceSketchPipeline.from_pretrained(conditional, direction="sketch_to_photo", device="cpu")
    assert np.array_equal(
        pixels(only_photos.sketch_to_photo(picture(0), skin="red")),
        pixels(pipe.sketch_to_photo(picture(0), skin="red")),
    )


def test_colours_are_given_by_name_or_like_another_photo(conditional: Path) -> None:
    pipe = FaceSketchPipeline.from_pretrained(conditional, device="cpu")
    sketch = picture(0)
    skin = pixels(pipe.sketch_to_photo(sketch, skin="#e0ac69"))
    assert np.abs(skin - pixels(pipe.sketch_to_photo(sketch))).mean() > 1
    assert np.abs(skin - pixels(pipe.sketch_to_photo(sketch, hair="#e0ac69"))).mean() > 1
    red = Image.new("RGB", (40, 60), "#e0ac69")
    like = pixels(pipe.sketch_to_photo(sketch, like=red))
    given = pixels(pipe.sketch_to_photo(sketch, skin="#e0ac69", background="#e0ac69"))
    assert np.abs(like - given).max() <= 2
    over = pixels(pipe.sketch_to_photo(sketch, like=red, skin="blue"))
    assert np.abs(over - pixels(pipe.sketch_to_photo(sketch, skin="blue", background="#e0ac69"))).max() <= 2


def test_what_cannot_be_chosen_is_told(conditional: Path, release: Path) -> None:
    pipe = FaceSketchPipeline.from_pretrained(conditional, device="cpu")
    with pytest.raises(ChoiceError, match="no style 'ink'; this release has bold, fine, soft"):
        pipe.photo_to_sketch(picture(0), style="ink")
    with pytest.raises(ChoiceError, match=r"skin must be a colour .* got '#12'"):
        pipe.sketch_to_photo(picture(0), skin="#12")
    plain = FaceSketchPipeline.from_pretrained(release, device="cpu")
    with pytest.raises(ChoiceError, match="one style only"):
        plain.photo_to_sketch(picture(0), style="bold")
    with pytest.raises(ChoiceError, match="without a palette"):
        plain.sketch_to_photo(picture(0), like=picture(1))


@pytest.mark.parametrize(("name", "value"), [("styles", "bold"), ("styles", [1]), ("palette", "yes")])
def test_a_config_that_says_nonsense_is_refused(conditional: Path, tmp_path: Path, name: str, value: object) -> None:
    config = json.loads((conditional / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(WeightsError, match=name):
        FaceSketchPipeline.from_pretrained(tmp_path)


def test_the_command_line_takes_style_and_colours(conditional: Path, tmp_path: Path) -> None:
    picture(0).save(tmp_path / "face.png")
    picture(1).save(tmp_path / "other.png")
    given = ("convert", tmp_path / "face.png", "--framing", "whole", "--weights", conditional)
    pipe = FaceSketchPipeline.from_pretrained(conditional, device="cpu")
    for number, (flags, wanted) in enumerate((
        (("--to", "sketch", "--style", "soft"), pipe.photo_to_sketch(picture(0), style="soft")),
        (("--to", "photo", "--skin", "tan", "--like", tmp_path / "other.png"),
         pipe.sketch_to_photo(picture(0), skin="tan", like=picture(1))),
    )):  # fmt: skip
        out = tmp_path / str(number)
        result = command(*given, *flags, "--out", out)
        assert result.returncode == 0, result.stderr
        assert np.abs(pixels(Image.open(out / "face.png")) - pixels(wanted)).max() <= 1
    for flags, said in (
        (("--to", "sketch", "--skin", "tan"), "need --to photo"),
        (("--to", "photo", "--style", "soft"), "--style works only with --to sketch"),
        (("--to", "sketch", "--style", "ink"), "no style 'ink'"),
    ):
        result = command(*given, *flags, "--out", tmp_path / "no")
        assert result.returncode == 1
        assert said in result.stderr
        assert "Traceback" not in result.stderr


def test_the_embedded_weights_follow_style_and_skin() -> None:
    pipe = FaceSketchPipeline.from_pretrained(device="cpu")
    sketches = [Image.open(file).convert("RGB") for file in sorted((ROOT / "examples/sketches").glob("*.webp"))[:3]]
    read, asked = [], []
    for skin in ("#5b3a24", "#e0ac69", "#f3d6c4"):
        photos = pipe.sketch_to_photo(sketches, skin=skin)
        tensors = [normalise(to_tensor(photo.resize((256, 256)))) for photo in photos]
        read.append(read_palette(torch.stack(tensors))[:, 0, :3].mean(0))
        asked.append(make_palette(skin=skin)[0, 0, :3])
    errors = 127.5 * (torch.stack(read) - torch.stack(asked)).abs().mean(1)
    assert errors.max() < 15, "of 255"

    photo = Image.open(next((ROOT / "examples/photos").glob("*.webp")))
    drawn = [pixels(pipe.photo_to_sketch(photo, style=style)) for style in pipe.styles]
    grain = pixels(photo.convert("RGB")) + np.random.default_rng(0).normal(0, 3, (*photo.size[::-1], 3))
    noisy = pixels(pipe.photo_to_sketch(Image.fromarray(grain.clip(0, 255).astype(np.uint8)), style=pipe.styles[0]))
    noise = np.abs(noisy - drawn[0]).mean()
    assert min(np.abs(drawn[0] - drawn[1]).mean(), np.abs(drawn[1] - drawn[2]).mean()) > noise
