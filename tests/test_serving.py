"""The models that many visitors share."""

import threading
from pathlib import Path
from threading import Event

import pytest
from conftest import make_pipeline, picture

from cyclegan import FaceSketchPipeline, pipeline
from cyclegan.directions import Direction
from cyclegan.engines.build import Engine
from cyclegan.networks import Generator
from cyclegan.space.serving import Models


def inverted(generator: Generator) -> Engine:
    return lambda pictures: -generator(pictures)


def wait_for_the_search() -> None:
    for thread in threading.enumerate():
        if thread.name == "engines":
            thread.join(60)


def test_torch_converts_until_the_fastest_engine_is_found(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = Event()

    def choose_apart(generators: list[Generator], size: int) -> list[tuple[str, Engine]]:
        assert may_end.wait(60)
        return [("inverting", inverted(generator)) for generator in generators]

    monkeypatch.setattr(pipeline, "choose_apart", choose_apart)
    models = Models(str(release), "auto")
    for name, weights in models.offers.items():  # the first, and one that is chosen later
        exact = FaceSketchPipeline.from_pretrained(weights, device="cpu").photo_to_sketch(picture(0))
        assert models.convert(Direction.PHOTO_TO_SKETCH, name, picture(0)).tobytes() == exact.tobytes()
        may_end.set()
        wait_for_the_search()
        assert set(models.load(weights).engines.values()) == {"inverting"}
        assert models.convert(Direction.PHOTO_TO_SKETCH, name, picture(0)).tobytes() != exact.tobytes()
        may_end.clear()


def test_torch_goes_on_where_the_search_fails(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.warns(UserWarning, match="No faster engine was found for release"):
        models = Models(str(release), "auto")
        wait_for_the_search()
    made = models.convert(Direction.PHOTO_TO_SKETCH, models.first, picture(0))
    assert made.tobytes() == make_pipeline().photo_to_sketch(picture(0)).tobytes()
