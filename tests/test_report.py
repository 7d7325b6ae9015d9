import base64
import io
import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_pipeline, picture
from forked import run_forked
from PIL import Image
from torch import Tensor, nn

from cyclegan import FaceSketchPipeline
from cyclegan.__main__ import evaluate as evaluate_release
from cyclegan.data.names import find_pairs
from cyclegan.data.sources import DataError
from cyclegan.evaluation import report
from cyclegan.evaluation.metrics import paired_figures
from cyclegan.evaluation.page import Page, tables
from cyclegan.evaluation.pairs import Squares, load_pairs
from cyclegan.evaluation.protocol import mean_figures
from cyclegan.evaluation.report import make_report
from cyclegan.images import normalise

NAMES = [f"face <{number}>" for number in range(23)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for domain, shift in (("photos", 0), ("sketches", 100)):
        (folder / domain).mkdir()
        for number, name in enumerate(NAMES):
            picture(number + shift).save(folder / domain / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded, wherever the tests run."""

    def unreachable() -> nn.Module:
        raise OSError("unreachable")

    monkeypatch.setattr(report, "load_lpips", unreachable)
    monkeypatch.setattr(report, "load_inception", unreachable)


class Outline(HTMLParser):
    """The page's tags, in order, with what they load and what they say."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(text)


def evaluate_command(*arguments: str | Path, **variables: str) -> tuple[int, str]:
    # Downloads end at a port where nobody listens
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    result = run_forked("-m", "cyclegan", "evaluate", *arguments, env=os.environ | proxies | variables)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout + result.stderr


def test_the_command_from_folder_to_files(data: Path, release: Path, tmp_path: Path) -> None:
    (data / "photos/broken.png").write_bytes(b"nothing")
    (data / "sketches/broken.png").write_bytes(b"nothing")
    written = tmp_path / "new/figures.json", tmp_path / "new/page.html"
    status, printed = evaluate_command(
        "--data", data, "--weights", release, "--json", written[0], "--html", written[1], "--size", "48",
        TORCH_HOME=str(tmp_path),
    )  # fmt: skip
    (data / "photos/broken.png").unlink()
    assert status == 1
    assert "Left out:" in printed
    assert "broken.png is not a picture" in printed
    assert "LPIPS left out: " in printed
    assert "FID and KID left out: " in printed
    assert {file.name for file in written[0].parent.iterdir()} == {"figures.json", "page.html"}

    saved = json.loads(written[0].read_text())
    assert saved["count"] == 23
    assert saved["working_size"] == 32
    assert saved["compared"] == "compared at 48 x 48"
    assert "BT.601" in saved["protocol"]
    pairs = load_pairs(find_pairs(data / "photos", data / "sketches"), 48)
    expected = mean_figures(make_pipeline(), pairs.photos, pairs.sketches, 48)
    for direction, figures in expected.items():
        of_pictures = saved["pictures"][direction]
        assert [one["name"] for one in of_pictures] == sorted(NAMES)
        for name, value in figures.items():
            assert saved["figures"][direction][name] == pytest.approx(value, abs=1e-4)
            assert sum(one[name] for one in of_pictures) / 23 == pytest.approx(value, abs=1e-4)
        assert saved["figures"][direction]["one_ms"] > 0
        assert saved["figures"][direction]["batch_ms"] > 0
        assert f"{figures['fsim']:.3f}" in printed
    copied = paired_figures(normalise(pairs.photos), normalise(pairs.sketches))
    for direction in expected:
        figures = saved["figures"][f"{direction}_copied"]
        for name, values in copied.items():
            assert figures[name] == pytest.approx(values.mean().item(), abs=1e-4)
        assert printed.count(f"{figures['fsim']:.3f}") >= 2
    assert saved["groups"] == {}

    outline = Outline(written[1].read_text(encoding="utf-8"))
    assert outline.open == []
    images = [source for source in outline.sources if not source.startswith("#")]
    assert len(images) == 2 * 4 * 23
    for source in images:
        kind, data_of_image = source.split(",")
        assert kind == "data:image/webp;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data_of_image))).size == (32, 32)
    assert sorted(outline.texts["b"]) == sorted(2 * NAMES)
    assert outline.texts["h3"] == 2 * ["The worst 10 by FSIM", "The best 10", "All others, worst first"]
    for direction, start in (("photo_to_sketch", 0), ("sketch_to_photo", 23)):
        by_fsim = [one["name"] for one in sorted(saved["pictures"][direction], key=lambda one: one["fsim"])]
        assert outline.texts["b"][start : start + 23] == by_fsim[:10] + by_fsim[:12:-1] + by_fsim[10:13]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": "nowhere"}, "nowhere/photos is missing. Put one half of each pair there"),
        ({"data": "split"}, "split/photos is missing. Use --data split/test"),
        ({"data": "split/test"}, "No picture in .* has the same name as one in"),
        ({"data": "split/test", "size": 8}, "--size must be between 32 and 4096; got 8"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for domain in ("photos", "sketches"):
        Path("split/test", domain).mkdir(parents=True)
    with pytest.raises(DataError, match=words):
        evaluate_release(**arguments | {"data": Path(arguments["data"])})


class Means(nn.Module):
    """Stands for the Inception network: takes uint8, gives features (B, 12) that a person can check."""

    def forward(self, pixels: Tensor) -> Tensor:
        assert pixels.dtype == torch.uint8
        return torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 2).flatten(1)


class Difference(nn.Module):
    """Stands for LPIPS: takes two batches in [-1, 1], gives (B, 1, 1, 1)."""

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        return (made - wanted).abs().mean((1, 2, 3), keepdim=True)


class Copy(nn.Identity):
    multiple = 4

    def forward(self, image: Tensor, condition: Tensor | None = None, large: bool = False) -> Tensor:
        return image


def test_networks_judge_what_was_made_against_what_was_wanted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that answers a photo with itself scores what copying scores, both ways."""
    monkeypatch.setattr(report, "load_lpips", Difference)
    monkeypatch.setattr(report, "load_inception", Means)
    pairs = load_pairs(find_pairs(data / "photos", data / "sketches"), 32)
    pipe = FaceSketchPipeline(Copy(), Copy(), 32, "cpu")  # type: ignore[arg-type]
    squares = Squares(pairs.photos, pairs.sketches, 32, 32, pairs.names)
    measured = make_report(pipe, squares, "a copy", "pairs")
    apart = (normalise(pairs.photos) - normalise(pairs.sketches)).abs().mean().item()
    assert len(measured.figures) == 4
    for figures in measured.figures.values():
        assert figures["lpips"] == pytest.approx(apart, abs=1e-5)
        assert figures["fid"] == pytest.approx(measured.figures["photo_to_sketch_copied"]["fid"], rel=1e-3)
        assert figures["fid"] > 0.01
        assert figures["kid"] == pytest.approx(measured.figures["photo_to_sketch_copied"]["kid"], rel=1e-3)
    assert "KID uses 100 random subsets of 23 of 23 pictures." in measured.notes
    labels = [row[0] for row in tables(measured)[0].rows]
    assert labels.index("LPIPS (AlexNet)") < labels.index("FID") < labels.index("KID x 1000")

    pairs.sketches[:] = pairs.photos  # now the copy is what is wanted
    perfect = make_report(pipe, squares, "a copy", "pairs")
    for figures in perfect.figures.values():
        assert figures["lpips"] == 0
        assert figures["fid"] == pytest.approx(0, abs=1e-4)


def test_one_pair_is_enough(data: Path) -> None:
    """For a table and a page; sets need two, and their figures are then not there."""
    pairs = load_pairs(find_pairs(data / "photos", data / "sketches")[:1], 32)
    page = Page()
    squares = Squares(pairs.photos, pairs.sketches, 32, 32, pairs.names)
    measured = make_report(make_pipeline(), squares, "a model", "one pair", look=page.add)
    outline = Outline(page.html(measured))
    assert outline.texts["h3"] == 2 * ["The worst 1 by FSIM"]
    assert measured.notes == ["LPIPS left out: its network could not be loaded (unreachable)."]
