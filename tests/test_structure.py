"""The rules of the house that a machine can hold."""

import re
import tomllib

from conftest import ROOT


def test_the_readme_names_the_gradio_of_the_requirements() -> None:
    """A Space installs the Gradio of the front matter, and then the requirements."""
    front_matter = (ROOT / "README.md").read_text().split("---")[1]
    (version,) = re.findall(r"sdk_version: ([\d.]+)", front_matter)
    (least,) = re.findall(r"gradio\[mcp\]>=([\d.]+)", (ROOT / "requirements.txt").read_text())
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))
    assert "app_file: app.py" in front_matter


def test_every_file_of_the_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["cyclegan"]
    for file in (ROOT / "cyclegan").rglob("*"):
        name = file.relative_to(ROOT / "cyclegan")
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            assert any(name.match(pattern) for pattern in patterns), f"{name} is in no pattern of package-data"


def test_there_are_examples_both_ways() -> None:
    for folder in ("photos", "sketches"):
        assert len(list((ROOT / "examples" / folder).glob("*.png"))) >= 6
