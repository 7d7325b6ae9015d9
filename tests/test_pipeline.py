import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_pipeline, picture, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import avg_pool2d

from cyclegan import FaceSketchPipeline
from cyclegan.images import ImageError, normalise, pad_to_multiple, to_tensor
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
    image = picture(0, (32, 45))
    made = pipe.photo_to_sketch(image)
    assert made.size == (32, 45)
    longer = np.pad(np.asarray(image), ((0, 3), (0, 0), (0, 0)), "reflect")
    wanted = pipe.photo_to_sketch(Image.fromarray(longer)).crop((0, 0, 32, 45))
    assert made.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 64), (63, 70), (150, 131)])
def test_a_large_picture_has_the_forms_of_one_half_as_large(height: int, width: int) -> None:
    pictures = normalise(to_tensor(picture(0, (width, height))))[None]
    half = avg_pool2d(pictures, 2, ceil_mode=True)
    made, smaller = (pipe.translate(pipe.photo_generator, given) for given in (pictures, half))
    assert made.shape == pictures.shape
    assert made.abs().max() <= 1
    alone = pipe.photo_generator(pad_to_multiple(pictures, pipe.photo_generator.multiple))[..., :height, :width]
    cells = (made, 4), (alone, 4), (smaller, 2)
    forms, before, wanted = (avg_pool2d(one, cell, ceil_mode=True) for one, cell in cells)
    assert (forms - wanted).abs().mean() < 0.7 * (before - wanted).abs().mean()


def test_a_picture_of_up_to_one_and_a_half_times_the_working_size_is_converted_once() -> None:
    pictures = normalise(to_tensor(picture(0, (48, 52))))[None]
    assert torch.equal(pipe.translate(pipe.photo_generator, pictures), pipe.photo_generator(pictures))


def test_saved_and_loaded_it_gives_the_same_pictures(release: Path) -> None:
    config = json.loads((release / "config.json").read_text())
    assert config == {
        "format_version": 4,
        "width": 4,
        "blocks": 1,
        "padding": "reflect",
        "upsample": "transpose",
        "compact": False,
        "grey_sketches": False,
        "styles": [],
        "palette": False,
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
        ("extra", r"photo_to_sketch\.safetensors has an unexpected tensor layers\.tail"),
        ("misshapen", r"photo_to_sketch\.safetensors: the tensor layers\.head\.bias must .*got \(4,\)"),
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
        ('{"format_version": 5}', "format version 5; this cyclegan reads formats up to 4. Update cyclegan"),
        ('{"format_version": 2, "compact": true}', "format 2, which is no longer supported"),
        ('{"width": 4}', "no format_version"),
        ("[]", "no format_version"),
        ("{", "not valid JSON"),
        ('{"format_version": 1, "width": 4}', "has no entry blocks"),
        (
            '{"format_version": 1, "width": -4, "blocks": 1, "padding": "zero", "upsample": "resize", "image_size": 8}',
            r"width must be a whole number from 1 to 1024; got -4",
        ),
        (
            '{"format_version": 1, "width": 4, "blocks": 1, "padding": "zero", "upsample": "resize", "image_size": 8, '
            '"directions": 5}',
            "lists no known direction; got 5",
        ),
        ("[" * 100_000, "not valid JSON"),
        ('{"format_version": true}', "no format_version"),
        ('\ufeff{"format_version": 5}', "format version 5"),  # as Windows' editors save it
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


NAN = float("nan")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("width", value) for value in (10**9, 0, 4.0, "4", True, None, [4])),
        *(("blocks", value) for value in (10**6, -1, 1.5, False)),
        *(("image_size", value) for value in ("256", None, NAN, 20_000, 1e9, -4, 0, 1.5, True, float("inf"), 10**400)),
        *(("compact", value) for value in ("no", 0, None)),
        *(("padding", value) for value in ("replicate", 1, ["zero"], "zero" * 999)),
        *(
            ("styles", value)
            for value in ("bold", [1], [""], [" "], ["a\n"], ["\ud800"], ["a", "a"], ["a" * 256], {"a": 1})
        ),
        *(("upsample", "nearest"), ("grey_sketches", "yes")),
    ],
)
def test_each_value_of_a_config_is_checked(release: Path, tmp_path: Path, key: str, value: object) -> None:
    path = copy(release, tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(WeightsError, match=rf"config\.json: {key} must be .*; got ") as caught:
        FaceSketchPipeline.from_pretrained(tmp_path)
    assert repr(value)[:80] in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_a_file_cannot_hold_is_not_built(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy(release, tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"width": 1024, "blocks": 256}))
    monkeypatch.setattr("cyclegan.release.Generator", None)
    with pytest.raises(WeightsError, match="bytes, too few for width 1024 and 256 blocks"):
        FaceSketchPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(3, dtype=torch.int8), r"floating-point numbers; got torch\.int8"),
        (torch.zeros(3, dtype=torch.bool), r"floating-point numbers; got torch\.bool"),
        (torch.tensor([0, NAN, 0]), "NaN or infinite"),
        (torch.tensor([0, float("-inf"), 0]).half(), "NaN or infinite"),
    ],
)
def test_weights_are_finite_numbers(release: Path, tmp_path: Path, tensor: torch.Tensor, words: str) -> None:
    path = copy(release, tmp_path) / "photo_to_sketch.safetensors"
    save_file(load_file(path) | {"layers.head.bias": tensor}, path)
    with pytest.raises(WeightsError, match=rf"photo_to_sketch\.safetensors: the tensor layers\.head\.bias .*{words}"):
        FaceSketchPipeline.from_pretrained(tmp_path)


def test_a_folder_whose_name_is_no_text_is_told_to_be_renamed(release: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"Mu\xf1oz")
    folder.mkdir()
    copy(release, folder)
    with pytest.raises(WeightsError, match=r"Mu\\udcf1oz is no UTF-8 name, .* Rename the folder"):
        FaceSketchPipeline.from_pretrained(folder)


def test_nothing_in_particular_is_the_embedded_weights() -> None:
    assert FaceSketchPipeline.from_pretrained(None, direction="photo_to_sketch").source == "embedded weights"


def test_loading_leaves_the_random_numbers_alone(release: Path) -> None:
    before = torch.get_rng_state()
    FaceSketchPipeline.from_pretrained(release, device="cpu")
    assert torch.equal(before, torch.get_rng_state())


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a sketch_generator, a photo_generator, or both; got neither"):
        FaceSketchPipeline(None, None, 32)
    for generators, size, words in (
        ((Generator(4, 1), Generator(8, 1)), 32, "must have the same architecture"),
        ((Generator(4, 1), Generator(4, 1, grey=True)), 32, "grey"),
        ((Generator(4, 1), Generator(4, 1)), -4, "image_size must be .*; got -4"),
    ):
        with pytest.raises(WeightsError, match=words):
            FaceSketchPipeline(*generators, size, "cpu").save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_not_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cyclegan.release.hf_hub_download", download)
    with pytest.raises(WeightsError, match=r"ann/faces cannot be written to the cache .*Free some space"):
        FaceSketchPipeline.from_pretrained("ann/faces", fallback=True)


def test_importing_the_package_is_light() -> None:
    code = "import cyclegan, sys; print({'gradio', 'accelerate', 'torchvision'} & set(sys.modules))"
    assert run("-c", code, cwd=Path(__file__).parent.parent).stdout.strip() == "set()"
