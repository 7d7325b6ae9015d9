import errno
import hashlib
import os
import re
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import command, make_pipeline, picture
from PIL import Image

from cyclegan import FaceSketchPipeline
from cyclegan.data.sources import DataError
from cyclegan.directions import Direction
from cyclegan.engines import export as exporting
from cyclegan.engines.build import EngineError
from cyclegan.engines.onnx import to_onnx
from cyclegan.images import to_tensor


@pytest.fixture(autouse=True)
def packages() -> None:
    """All of them are there in CI; elsewhere their absence is a reason to skip."""
    missing = [name for name in ("onnx", "onnxruntime", "openvino") if not find_spec(name)]
    if missing:
        assert not os.environ.get("CI"), missing
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_the_example_of_an_export_gives_the_picture_of_the_pipeline(tmp_path: Path, release: Path, kind: str) -> None:
    out = tmp_path / "out"
    result = command("export", "--weights", release, "--format", kind, "--out", out)
    assert result.returncode == 0, result.stderr
    files = {f"{direction}{size}.onnx" for direction in Direction for size in ("", "-large")}
    if kind == "openvino":
        files = {f"{name[:-5]}.{ending}" for name in files for ending in ("xml", "bin")}
    assert {file.name for file in out.iterdir()} == files | {"README.md", "SHA256SUMS"}
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
        files.remove(name)
    assert not files

    readme = (out / "README.md").read_text()
    assert "has at least 56 pixels" in readme
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(example.splitlines()) == 5
    large = example.replace("(32, 32)", "(64, 64)").replace("sketch_to_photo.", "sketch_to_photo-large.")
    assert large != example
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu")
    for code, side in ((example, 32), (large, 64)):
        picture(0, (side, side)).save(out / "sketch.jpg", quality=100)
        subprocess.run([sys.executable, "-c", code], cwd=out, check=True)
        wanted = pipe.sketch_to_photo(Image.open(out / "sketch.jpg"), prepare=False, size=side)
        made = to_tensor(Image.open(out / "photo.png")).float()
        assert (made - to_tensor(wanted).float()).abs().mean() < 1.5


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_eight_bits_are_checked_too(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, kind: exporting.Format
) -> None:
    pipe = make_pipeline()
    pictures = exporting.calibration(pipe, dataset / "test" if kind == "onnx" else None)
    monkeypatch.setitem(exporting.LIMITS, True, 0.2)  # these weights are untrained
    differences = exporting.export(pipe, kind, tmp_path / "out", pictures)
    assert all(1e-4 < value < 0.2 for value in differences.values())
    if kind == "onnx":
        monkeypatch.setitem(exporting.LIMITS, True, 1e-5)
        with pytest.raises(EngineError, match="drop --int8"):
            exporting.export(pipe, kind, tmp_path / "other", pictures)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_no_pictures_to_fit_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="photos has no pictures for the calibration"):
        exporting.calibration(make_pipeline(), tmp_path)


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> object:
        return lambda pictures, condition=None: torch.from_numpy(np.full(pictures.shape, np.nan, np.float32))

    monkeypatch.setattr(exporting, "run_onnxruntime", broken)
    with pytest.raises(
        EngineError, match=r"photo_to_sketch-large\.onnx differs from torch by nan, over the limit of 0\.001"
    ):
        exporting.export(make_pipeline(), "onnx", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_why_openvino_cannot_write_is_told(tmp_path: Path) -> None:
    """Its own words name no cause."""
    model = to_onnx(make_pipeline().generators[Direction.PHOTO_TO_SKETCH]).SerializeToString()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            exporting._to_openvino(model, tmp_path / "a.xml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


def test_nothing_is_written_over(tmp_path: Path, release: Path) -> None:
    result = command("export", "--weights", release, "--format", "onnx", "--out", tmp_path)
    assert result.returncode == 1
    assert result.stderr.strip() == f"{tmp_path} already exists; choose another --out."
