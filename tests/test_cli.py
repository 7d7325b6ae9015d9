import os
from pathlib import Path

import pytest
from conftest import command, picture
from PIL import Image

HELP = ("convert", "evaluate", "export", "check-data", "import-weights", "deploy")


def convert(*arguments: str | Path, release: Path) -> tuple[int, str]:
    result = command("convert", *arguments, "--weights", release)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout + result.stderr


def test_folders_and_files_names_kept_bad_ones_skipped(tmp_path: Path, release: Path) -> None:
    album, out = tmp_path / "album", tmp_path / "out"
    (album / "summer").mkdir(parents=True)
    picture(0, (60, 40)).save(album / "anna.jpg")
    picture(1).save(album / "anna.png")
    picture(2).save(album / "summer/ben.webp")
    (album / "broken.jpg").write_bytes(b"no picture")
    picture(3).save(tmp_path / "carl.bmp")

    status, printed = convert(
        album, tmp_path / "carl.bmp", "--to", "sketch", "--framing", "whole", "--out", out, release=release
    )
    assert status == 1
    assert "broken.jpg is not a picture" in printed
    written = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
    assert written == ["anna.png", "anna.png.png", "carl.png", "summer/ben.png"]
    assert Image.open(out / "anna.png").size == (48, 32)

    (album / "broken.jpg").unlink()
    (out / "carl.png").unlink()
    status, printed = convert(album, tmp_path / "carl.bmp", "--to", "sketch", "--out", out, release=release)
    assert status == 0
    assert "1 written" in printed
    assert "3 existed already and were left alone" in printed


def test_an_input_is_never_written_over(tmp_path: Path, release: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    picture(1).save(tmp_path / "a.jpg")
    before = [(tmp_path / name).read_bytes() for name in ("a.png", "a.jpg")]
    status, _ = convert(tmp_path, "--to", "photo", "--out", tmp_path, release=release)
    assert status == 0
    assert before == [(tmp_path / name).read_bytes() for name in ("a.png", "a.jpg")]
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "a.jpg", "a.png.png", "a.jpg.png"}


def test_results_inside_the_input_folder_are_not_converted_again(tmp_path: Path, release: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    for expected in ("1 written", "0 written"):
        status, printed = convert(tmp_path, "--to", "sketch", "--out", tmp_path / "sketches", release=release)
        assert status == 0
        assert expected in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.png"], "nowhere.png does not exist"),
        (["empty"], "Found no pictures or videos in empty"),
        ([], "in an empty list of inputs"),
    ],
)
def test_nothing_to_convert_is_a_sentence(tmp_path: Path, release: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty").mkdir()
    result = command("convert", *arguments, "--to", "sketch", "--out", "out", "--weights", release, cwd=tmp_path)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("size", ["0", "-5", "15", "1025", "1000000000"])
def test_a_size_out_of_bounds_is_a_sentence(tmp_path: Path, release: Path, size: str) -> None:
    picture(0).save(tmp_path / "a.png")
    out = tmp_path / "out"
    status, printed = convert(tmp_path, "--to", "sketch", "--out", out, f"--size={size}", release=release)
    assert status == 1
    assert f"--size must be from 16 to 1024 pixels, or 'own'; got {size}" in printed
    assert not out.exists()


def test_wrong_weights_are_a_sentence(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    status, printed = convert(tmp_path / "a.png", "--to", "sketch", "--out", tmp_path / "out", release=tmp_path)
    assert status == 1
    assert "config.json is missing" in printed


def test_a_name_that_no_file_can_have_is_a_sentence(tmp_path: Path, release: Path, dataset: Path) -> None:
    out = tmp_path / "x\0y"
    weights = ("--weights", release)
    for arguments in (
        ("export", "--format", "onnx", "--out", out, *weights),
        ("evaluate", "--data", dataset / "test", "--json", out, *weights),
        ("evaluate", "--data", dataset / "test", "--html", out, *weights),
    ):
        told = command(*arguments)
        assert told.returncode == 1
        assert told.stderr.endswith("x\\0y: no path holds a NUL.\n")


def test_a_report_names_pairs_whose_names_are_not_text(tmp_path: Path, release: Path) -> None:
    for domain in ("photos", "sketches"):
        (tmp_path / "test" / domain).mkdir(parents=True)
        picture(0).save(tmp_path / "test" / domain / os.fsdecode(b"Mu\xf1oz.png"))
    told = command("evaluate", "--data", tmp_path / "test", "--html", tmp_path / "page.html", "--weights", release)
    assert told.returncode == 0, told.stderr
    assert r"Mu\udcf1oz" in (tmp_path / "page.html").read_text("utf-8")


def test_every_command_explains_itself() -> None:
    assert all(name in command("--help").stdout for name in HELP)
