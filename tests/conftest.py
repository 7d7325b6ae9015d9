"""What the tests share: small generated pictures and an untrained, tiny release."""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from benchmarks.running import running_app
from cyclegan import FaceSketchPipeline
from cyclegan.__main__ import main
from cyclegan.networks import Generator

ROOT = Path(__file__).parent.parent
settings.register_profile("any-machine", deadline=None)  # a slow machine is no bug
settings.load_profile("any-machine")
CACHE = tempfile.TemporaryDirectory(prefix="cyclegan-tests-")  # the user's own stays as it is
torch.set_num_threads(1)  # two threads may share a sum differently from run to run; with one, equal means equal
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "CYCLEGAN_CACHE": f"{CACHE.name}/decoded",
    "CYCLEGAN_ENGINE": "torch",  # no test of the app waits until the fastest is found
    "HF_DATASETS_CACHE": f"{CACHE.name}/datasets",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}


def picture(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    """A smooth random picture: a few blurred blobs of colour."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def make_pipeline(seed: int = 0, image_size: int = 32) -> FaceSketchPipeline:
    torch.manual_seed(seed)
    return FaceSketchPipeline(Generator(4, 1), Generator(4, 1), image_size, device="cpu")


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the project's Python on a command line, as a user would, from another folder."""
    return subprocess.run(  # type: ignore[call-overload]
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=240, **options
    )


def command(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What `python -m cyclegan` prints, in this process, since importing torch takes longer than most of the tests."""
    out, err = io.StringIO(), io.StringIO()
    words = ["cyclegan", *map(str, arguments)]
    with chdir(cwd), patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=err)
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 7 photos and 5 sketches, and 2 of each to test on."""
    root = tmp_path_factory.mktemp("dataset")
    for folder, count, mode in (("train/photos", 7, "RGB"), ("train/sketches", 5, "L"), ("test/photos", 2, "RGB")):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            picture(number, mode=mode).save(root / folder / f"{number}.png")
    (root / "test/sketches").mkdir()
    picture(1, mode="L").save(root / "test/sketches/1.png")
    picture(2, mode="L").save(root / "test/sketches/2.png")
    return root


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def app_url(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real app, started by the README's command, with a tiny release beside the embedded one."""
    folder = tmp_path_factory.mktemp("app")
    with running_app(str(release), folder) as (url, app):
        yield url
        assert app.poll() is None, "the app has ended"
        assert not [*(folder / "gradio").rglob("*.png")], "what MCP clients send lies where it is swept"
        for failure in (folder / "log.txt").read_text().split("Traceback")[1:]:
            refused = ("InvalidPathError", "'meta' field must be")  # by Gradio: what tests try in vain
            assert any(words in failure for words in refused), failure
    assert not list(folder.glob("face-sketch-*")), "no file of a visitor outlives the app"
