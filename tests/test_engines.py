import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
import torch
from conftest import make_pipeline, picture

from cyclegan import FaceSketchPipeline
from cyclegan.engines import choose as choosing
from cyclegan.engines.build import ENGINES, Engine, EngineError, build
from cyclegan.engines.choose import choose
from cyclegan.engines.onnx import sample
from cyclegan.images import to_tensor
from cyclegan.networks import Generator, Padding, Upsample

# Untrained networks err more than trained ones: their pictures are all fine texture
LIMITS = {"torch": 0.0, "compile": 0.02, "onnxruntime": 1e-5, "openvino": 1e-5, "openvino-int8": 0.1}


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(4, 1, upsample="resize").eval()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a quick choice."""
    monkeypatch.setenv("CYCLEGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(choosing, "TRIED", ("torch-bf16",))
    monkeypatch.setattr(choosing, "TURNS", 1)
    return tmp_path


def start(name: str, generator: Generator) -> Engine:
    """The engine, or a skip where its package is not installed: never in CI, which has them all."""
    try:
        return build(name, generator, 32)
    except EngineError as error:
        if os.environ.get("CI") and "pip install" in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_pictures_of_torch(name: str, large: bool, generator: Generator) -> None:
    engine = start(name, generator)
    sizes = ((1, 32, 32), (3, 24, 40), (2, 28, 36))  # the last with an odd number of rows in the middle
    for batch, *sides in sizes[: 1 if name == "compile" else 3]:  # which compiles half a minute for each
        height, width = (side * (2 if large else 1) for side in sides)
        pictures = torch.cat([sample(batch, height), sample(batch, height)], -1)[..., :width]
        with torch.inference_mode():
            made, exact = engine(pictures, None, large), generator(pictures, None, large)
        assert made.dtype == torch.float32
        assert made.shape == exact.shape
        assert (made - exact).abs().mean() <= LIMITS.get(name, 0.02)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("upsample", get_args(Upsample))
@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_every_architecture_becomes_onnx(
    name: str, padding: Padding, upsample: Upsample, compact: bool, large: bool
) -> None:
    torch.manual_seed(0)
    generator = Generator(4, 1, padding, upsample, compact, grey=True, conditions=2).eval()
    for parameter in generator.parameters():  # also the biases and the condition, which begin at zero
        torch.nn.init.normal_(parameter, 0, 0.2)
    engine = start(name, generator)
    for batch, height, width in ((1, 64, 64), (2, 48, 80)):
        pictures = torch.rand(batch, 3, height, width) * 2 - 1
        for condition in (None, torch.rand(1, 2), torch.rand(batch, 2)):
            with torch.inference_mode():
                made, exact = engine(pictures, condition, large), generator(pictures, condition, large)
            torch.testing.assert_close(made, exact, atol=1e-4, rtol=0)


def test_threads_may_share_an_engine(generator: Generator) -> None:
    engine = start("openvino", generator)
    pictures = [sample(1, 64).roll(shift, -1) for shift in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for together, alone in zip(pool.map(engine, pictures), map(engine, pictures), strict=True):
            assert torch.equal(together, alone)


def no_measuring(*_: object) -> None:
    raise AssertionError("measured again")


def test_the_choice_is_remembered(generator: Generator, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = choose(generator, 32)
    (note,) = cache.glob("engines/*/*.json")
    assert json.loads(note.read_text())["engine"] == name
    monkeypatch.setattr(choosing, "time_engines", no_measuring)
    assert choose(generator, 32)[0] == name
    with pytest.raises(AssertionError):
        choose(generator, 64)
    with pytest.raises(AssertionError):
        choose(Generator(4, 1, padding="zero").eval(), 32)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"engine": "abacus"}'])
def test_a_damaged_note_is_measured_again(generator: Generator, cache: Path, damage: str) -> None:
    choose(generator, 32)
    (note,) = cache.glob("engines/*/*.json")
    note.write_text(damage)
    assert choose(generator, 32)[0] in ENGINES
    assert json.loads(note.read_text())["engine"] in ENGINES


def failing(_: Generator) -> Engine:
    raise RuntimeError("illegal instruction")


def failing_later(_: Generator) -> Engine:
    return lambda pictures: pictures / torch.zeros(())[0]


def wrong(_: Generator) -> Engine:
    return lambda pictures: pictures + 0.1


def nothing(_: Generator) -> Engine:
    return lambda pictures: pictures * torch.nan


@pytest.mark.parametrize("other", [failing, failing_later, wrong, nothing])
def test_torch_is_left_where_all_others_fail(
    generator: Generator, cache: Path, monkeypatch: pytest.MonkeyPatch, other: Callable[[Generator], Engine]
) -> None:
    monkeypatch.setattr(choosing, "build", lambda _, generator, size: other(generator))
    assert choose(generator, 32) == ("torch", generator)


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    generator: Generator, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("CYCLEGAN_CACHE", str(cache / "file"))
    assert choose(generator, 32)[0] in ENGINES


def test_an_engine_that_needs_the_cache_says_where_it_may_be(
    generator: Generator, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("CYCLEGAN_CACHE", str(cache / "file"))
    words = r"The model in 8 bits cannot be stored in .*file: Not a directory\. Set CYCLEGAN_CACHE"
    with pytest.raises(EngineError, match=words):
        build("openvino-int8", generator, 32)


def test_an_unknown_engine_is_a_sentence(generator: Generator) -> None:
    with pytest.raises(EngineError, match=r"engine must be one of auto, torch, .*onnxruntime; got 'abacus'"):
        build("abacus", generator, 32)


def test_a_missing_package_is_a_sentence(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        EngineError, match=r"engine openvino needs the package openvino: pip install 'cyclegan\[fast\]'"
    ):
        build("openvino", generator, 32)


def test_a_pipeline_runs_its_engine(release: Path, cache: Path) -> None:
    exact = make_pipeline()
    for name in ("auto", "onnxruntime"):
        pipe = FaceSketchPipeline.from_pretrained(release, device="cpu", engine=name)
        assert pipe.engines.keys() == {"photo_to_sketch", "sketch_to_photo"}
        assert set(pipe.engines.values()) <= ({*ENGINES} if name == "auto" else {name})
        for size in ((48, 40), (33, 90)):
            made, wanted = (to_tensor(some.photo_to_sketch(picture(0, size))).float() for some in (pipe, exact))
            assert (made - wanted).abs().mean() < 1


def test_an_engine_is_for_float32_on_the_cpu(release: Path) -> None:
    with pytest.raises(EngineError, match=r"needs the CPU and float32; got cpu and torch\.bfloat16"):
        FaceSketchPipeline.from_pretrained(release, device="cpu", dtype="bfloat16", engine="openvino")
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu", dtype="bfloat16", engine="auto")
    assert set(pipe.engines.values()) == {"torch"}
