"""The rules of the house that a machine can hold."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, picture, run
from PIL import Image

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Of the extras, by the names that they are imported by
OPTIONAL = (
    "accelerate",
    "av",
    "datasets",
    "dlib",
    "face_recognition_models",
    "gradio",
    "nncf",
    "onnx",
    "onnxruntime",
    "openvino",
    "piq",
    "starlette",
    "torch_fidelity",
    "torchmetrics",
    "torchvision",
    "websockets",
)
LIGHT = f"""
import sys
sys.modules |= dict.fromkeys({OPTIONAL})
from PIL import Image
from cyclegan import FaceSketchPipeline
from cyclegan.__main__ import main
source, release, alone, *commands = sys.argv[1:]
FaceSketchPipeline.from_pretrained(release).photo_to_sketch(Image.open(source), framing="face").save(alone)
for command in commands:
    sys.argv[1:] = command.split()
    try:
        main()
    except SystemExit as end:
        print(end)
"""


def test_the_readme_names_the_gradio_of_the_app() -> None:
    """A Space installs the Gradio of the front matter, and then the requirements."""
    front_matter = (ROOT / "README.md").read_text().split("---")[1]
    (version,) = re.findall(r"sdk_version: ([\d.]+)", front_matter)
    (least,) = re.findall(r"gradio\[mcp\]~=([\d.]+)", " ".join(EXTRAS["app"]))
    assert version.rpartition(".")[0] == least
    assert "app_file: app.py" in front_matter


def test_the_requirements_are_the_core_the_app_training_the_engines_and_outlines() -> None:
    """A Space installs them before it has the code that knows its extras."""
    listed = (ROOT / "requirements.txt").read_text().split("\n")[:-1]
    assert len(listed) == len(set(listed))
    wanted = (*PROJECT["dependencies"], *(one for name in ("app", "train", "fast", "vector") for one in EXTRAS[name]))
    assert set(listed) == {*wanted}


def test_the_extra_all_names_all_others() -> None:
    (everything,) = EXTRAS["all"]
    assert everything == f"cyclegan[{','.join(name for name in EXTRAS if name != 'all')}]"


def test_without_any_extra_a_picture_is_converted_and_what_needs_one_says_so(tmp_path: Path, release: Path) -> None:
    source, alone, out = tmp_path / "face.png", tmp_path / "alone.png", tmp_path / "out"
    picture(0).save(source)
    (tmp_path / "film.mp4").write_bytes(b"film")
    commands = (
        f"convert {source} --to sketch --out {out} --weights {release}",
        f"convert {tmp_path}/film.mp4 --to sketch --out {tmp_path}/films --weights {release}",
        f"export --format onnx --out {tmp_path}/export --weights {release}",
        "check-data hf:some/data",
    )
    result = run("-c", LIGHT, source, release, alone, *commands, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert Image.open(alone) == Image.open(out / "face.png")
    assert "Traceback" not in result.stderr
    for missing in ("video", "fast", "datasets"):
        assert f"pip install 'cyclegan[{missing}]'" in result.stdout + result.stderr


@pytest.mark.parametrize("language", sorted(file.stem for file in (ROOT / "web/texts").glob("*.json")))
def test_a_language_says_what_english_says(language: str) -> None:
    english, texts = (json.loads((ROOT / f"web/texts/{name}.json").read_text("utf-8")) for name in ("en", language))
    assert texts.pop("dir", "rtl") == "rtl"
    assert texts.keys() <= english.keys()
    for key, text in texts.items():
        assert text.strip()
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english[key])), key


def test_the_app_without_gradio_is_a_sentence() -> None:
    result = run("-c", "import sys; sys.modules['gradio'] = None; import app", cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith("The app needs the package gradio: pip install 'cyclegan[app]'")


def test_every_file_of_the_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["cyclegan"]
    for file in (ROOT / "cyclegan").rglob("*"):
        name = file.relative_to(ROOT / "cyclegan")
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            assert any(name.match(pattern) for pattern in patterns), f"{name} is in no pattern of package-data"


def test_there_are_examples_both_ways() -> None:
    for folder in ("photos", "sketches"):
        assert len(list((ROOT / "examples" / folder).glob("*.webp"))) >= 6


def test_the_app_says_in_a_sentence_why_it_cannot_start() -> None:
    result = run("app.py", cwd=ROOT, env=os.environ | {"CYCLEGAN_WEIGHTS": "/nowhere"})
    assert result.returncode == 1
    assert result.stderr.strip() == "/nowhere is neither a folder nor a repository name of the form USER/REPO."
