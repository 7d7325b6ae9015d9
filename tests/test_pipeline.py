import json
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline, picture, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from cyclegan import FaceSketchPipeline
from cyclegan.images import ImageError
from cyclegan.networks import Generator
from cyclegan.release import WeightsError

pipe = make_pipeline()


@settings(max_examples=40)
@given(
    width=st.integers(4, 200),
    height=st.integers(4, 200),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
)
def test_any_picture_keeps_its_shape(width: int, height: int, mode: str) -> None:
    result = pipe.photo_to_sketch(Image.new(mode, (width, height)))
    assert result.mode == "RGB"
    if max(width, height) <= 4 * min(width, height):
        assert min(result.size) == 32
        assert result.width / result.height == pytest.approx(width / height, abs=1 / 32, rel=1 / 32)


def test_a_list_gives_what_one_by_one_gives() -> None:
    images = [picture(seed, size) for seed, size in enumerate([(40, 40), (60, 40), (40, 40)] * 5)]
    together = pipe.sketch_to_photo(images)
    alone = [pipe.sketch_to_photo(image) for image in images]
    assert [image.size for image in together] == [image.size for image in alone]
    for one, other in zip(together, alone, strict=True):
        difference = torch.tensor(list(one.tobytes())) - torch.tensor(list(other.tobytes()))
        assert difference.abs().max() <= 1
    assert pipe.sketch_to_photo([]) == []


def test_the_directions_use_their_own_generators() -> None:
    image = picture(0)
    assert pipe.photo_to_sketch(image).tobytes() != pipe.sketch_to_photo(image).tobytes()


def test_padding_does_not_show() -> None:
    """A picture whose side is no multiple of 4 is converted as if it went on beyond its edge."""
    image = picture(0, (32, 32))
    whole, cut = pipe.photo_to_sketch(image), pipe.photo_to_sketch(picture(0, (32, 45)))
    assert whole.size == (32, 32)
    assert cut.size == (32, 45)


def test_saved_and_loaded_it_gives_the_same_pictures(release: Path) -> None:
    config = json.loads((release / "config.json").read_text())
    assert config == {
        "format_version": 3,
        "width": 4,
        "blocks": 1,
        "padding": "reflect",
        "upsample": "transpose",
        "compact": False,
        "grey_sketches": False,
        "image_size": 32,
    }
    assert {file.name for file in release.iterdir()} == {
        "config.json",
        "README.md",
        "photo_to_sketch.safetensors",
        "sketch_to_photo.safetensors",
    }
    card = (release / "README.md").read_text()
    assert "pipeline_tag: image-to-image" in card
    assert "32 x 32 pixels" in card
    assert "samples.png" not in card
    loaded = FaceSketchPipeline.from_pretrained(release, device="cpu")
    for direction in ("photo_to_sketch", "sketch_to_photo"):
        convert = (getattr(loaded, direction), getattr(pipe, direction))
        assert convert[0](picture(1)).tobytes() == convert[1](picture(1)).tobytes()


def test_half_precision_weights_are_close(tmp_path: Path) -> None:
    FaceSketchPipeline(*make_generators(), 32, "cpu", torch.float16).save_pretrained(tmp_path)
    assert load_file(tmp_path / "photo_to_sketch.safetensors")["layers.head.weight"].dtype == torch.float16
    loaded = FaceSketchPipeline.from_pretrained(tmp_path, device="cpu")
    assert loaded.dtype == torch.float32
    exact, close = pipe.photo_to_sketch(picture(1)), loaded.photo_to_sketch(picture(1))
    difference = torch.tensor(list(exact.tobytes())) - torch.tensor(list(close.tobytes()))
    assert difference.abs().max() <= 3


def make_generators() -> tuple[Generator, Generator]:
    fresh = make_pipeline()
    return fresh.sketch_generator, fresh.photo_generator


def test_the_embedded_weights_load_and_are_small() -> None:
    embedded = FaceSketchPipeline.from_pretrained()
    assert embedded.photo_to_sketch(picture(0)).size[1] == embedded.image_size >= 128
    for file in (Path(__file__).parent.parent / "cyclegan/weights").glob("*.safetensors"):
        assert file.stat().st_size < 10_000_000


def test_a_bad_picture_is_a_sentence() -> None:
    with pytest.raises(ImageError, match="1 x 1"):
        pipe.photo_to_sketch(Image.new("RGB", (1, 1)))


def copy(release: Path, folder: Path) -> Path:
    for file in release.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", r"photo_to_sketch\.safetensors lacks the tensor layers\.head\.bias"),
        ("extra", r"photo_to_sketch\.safetensors has a tensor layers\.tail too many"),
        ("misshapen", r"photo_to_sketch\.safetensors: the tensor layers\.head\.bias is \(4,\).*\(3,\)"),
        ("truncated", r"photo_to_sketch\.safetensors is damaged"),
        ("absent", r"photo_to_sketch\.safetensors is missing"),
    ],
)
def test_wrong_weights_name_the_file_and_the_key(release: Path, tmp_path: Path, damage: str, words: str) -> None:
    path = copy(release, tmp_path) / "photo_to_sketch.safetensors"
    tensors = load_file(path)
    if damage == "missing":
        del tensors["layers.head.bias"]
    elif damage == "extra":
        tensors["layers.tail"] = torch.zeros(1)
    elif damage == "misshapen":
        tensors["layers.head.bias"] = torch.zeros(4)
    save_file(tensors, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "absent":
        path.unlink()
    with pytest.raises(WeightsError, match=words):
        FaceSketchPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"format_version": 4}', "format version 4 .* reads up to 3: update cyclegan"),
        ('{"format_version": 2, "compact": true}', "whose first layer was another"),
        ('{"width": 4}', "no format_version"),
        ("[]", "no format_version"),
        ("{", "not valid JSON"),
        ('{"format_version": 1, "width": 4}', "does not say blocks"),
        (
            '{"format_version": 1, "width": -4, "blocks": 1, "padding": "zero", "upsample": "resize", "image_size": 8}',
            "width=-4",
        ),
        (
            '{"format_version": 1, "width": 4, "blocks": 1, "padding": "zero", "upsample": "resize", "image_size": 8, '
            '"directions": 5}',
            "names no direction that this cyclegan knows: 5",
        ),
        (None, "config.json is missing"),
    ],
)
def test_wrong_configs_say_what_is_wrong(release: Path, tmp_path: Path, config: str | None, words: str) -> None:
    path = copy(release, tmp_path) / "config.json"
    path.unlink()
    if config is not None:
        path.write_text(config)
    with pytest.raises(WeightsError, match=words):
        FaceSketchPipeline.from_pretrained(tmp_path)


def test_importing_the_package_is_light() -> None:
    code = "import cyclegan, sys; print({'gradio', 'accelerate', 'torchvision'} & set(sys.modules))"
    assert run("-c", code, cwd=Path(__file__).parent.parent).stdout.strip() == "set()"
