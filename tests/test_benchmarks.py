"""The benchmarks run and say what they measured; how fast is not for a test to judge."""

import asyncio
import json
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run
from forked import run_forked
from PIL import Image

from benchmarks import blind, condition, faces, kinds, options, soak
from benchmarks.compare_losses import largest_differences
from benchmarks.load import picture
from cyclegan import FaceSketchPipeline
from cyclegan.directions import Direction
from cyclegan.training.config import TrainConfig, read_flags


def test_the_training_benchmark_prints_one_json_object() -> None:
    flags = ("--size", "32", "--batch", "2", "--width", "4", "--turns", "1", "--seconds", "0.1", "--json")
    result = run_forked("-m", "benchmarks.training", *flags)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["ratio"] == figures["ours_pairs_per_s"] / figures["reference_pairs_per_s"]
    assert 0 <= figures["data_wait_share"] < 1
    assert (figures["size"], figures["batch"], figures["width"]) == (32, 2, 4)


def test_the_benchmark_of_large_pictures_prints_a_row_for_each_direction() -> None:
    result = run_forked("-m", "benchmarks.large", "--engines", "torch", "--turns", "1", "--seconds", "0.01")
    assert result.returncode == 0, result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["| photo_to_sketch", "torch"], ["| sketch_to_photo", "torch"]]
    assert all(0 < float(row[-1].removesuffix(" |")) < 1 for row in rows)


def test_the_inference_benchmark_prints_a_row_for_each_model_size_and_engine(release: Path) -> None:
    flags = (
        "--sizes",
        "32",
        "64",
        "--engines",
        "torch",
        "torch-bf16",
        "--turns",
        "2",
        "--seconds",
        "0.01",
        "--width",
        "4",
    )
    result = run_forked("-m", "benchmarks.inference", "--json", "--weights", release, *flags)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    bf16 = ["torch-bf16"] * ("bfloat16" not in result.stderr)
    assert [(row["model"], row["size"], row["engine"]) for row in rows] == [
        row
        for size in (32, 64)
        for row in [
            ("reference", size, "torch"),
            *((model, size, engine) for model in ("full", "embedded") for engine in ["torch", *bf16]),
        ]
    ]
    for row in rows:
        assert 0 < row["ms_p50"] <= row["ms_p95"]
        (reference,) = (one for one in rows if one["model"] == "reference" and one["size"] == row["size"])
        assert row["ratio"] == pytest.approx(reference["ms_p50"] / row["ms_p50"], abs=0.05, rel=0.05)


def test_the_soak_counts_what_visitors_get_while_others_misbehave(
    app_url: str, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "BAD", {"svg": lambda: b"<svg/>", "empty": bytes})  # the real ones take minutes
    pipe = FaceSketchPipeline.from_pretrained(release, device="cpu")
    made = [pipe.photo_to_sketch(picture(number)) for number in range(2)]
    expected = np.stack([np.asarray(one, np.float32) for one in made])
    report = asyncio.run(soak.soak(app_url, os.getpid(), tmp_path, expected, seconds=4, pause=0.1))
    assert (report["clients"], report["misbehaving"]) == (6, 4)
    assert report["attacked"]["answers"] > 0
    assert report["bad_requests"] >= 4
    assert (report["wrong"], report["errors"]) == (0, [])
    assert report["at_start"].keys() == {"memory_mb", "memory_mb_with_children", "descriptors", "files"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history of the repository")
def test_a_commit_has_the_losses_of_itself() -> None:
    result = run("-m", "benchmarks.compare_losses", "HEAD", "HEAD", "--steps", "1", cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert re.search("^cycle_photo +0$", result.stdout, re.MULTILINE)


def test_the_largest_difference_of_each_loss_is_found() -> None:
    before = [{"cycle_photo": "0.5", "paired_photo": "", "pairs_per_second": "7"}] * 2
    after = [before[0], {"cycle_photo": "0.25", "paired_photo": "", "pairs_per_second": "9", "cycle_new": "1"}]
    assert largest_differences(before, after) == {"cycle_photo": 0.25, "paired_photo": 0}


def test_every_kind_of_picture_is_on_the_sheet(release: Path, tmp_path: Path) -> None:
    kinds.main(str(release), tmp_path / "kinds.webp")
    sheet = Image.open(tmp_path / "kinds.webp").convert("L")
    assert sheet.size == (9 * 164, 3 * 344)
    blank = [np.asarray(sheet.crop((x, 872, x + 156, 1028))).min() > 250 for x in (6 * 164, 7 * 164)]
    assert blank == [False, True], "a blank page comes back blank, and the blackboard beside it does not"


def test_a_blind_look_hides_the_order_and_counts_the_choices(
    tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for domain in ("photos", "sketches"):
        (tmp_path / domain).mkdir()
        for name in ("anna", "ben"):
            shutil.copy(ROOT / f"examples/{domain}/{name}.webp", tmp_path / domain)
    folder = tmp_path / "blind"
    blind.make(tmp_path, str(release), "embedded", folder, size=64)
    key = json.loads((folder / "key.json").read_text())["rows"]
    assert {row["direction"] for row in key.values()} == {"photo_to_sketch", "sketch_to_photo"}
    assert Image.open(folder / "02.png").size == (3 * 64 + 16, 64)
    page = (folder / "index.html").read_text()
    assert 'src="02.png"' in page and "embedded" not in page and str(release) not in page
    news = {number: next(side for side in ("left", "right") if row[side] == "new") for number, row in key.items()}
    (folder / "choices.json").write_text(json.dumps(news | {"2": "neither"}))
    blind.count(folder / "choices.json")
    assert (
        "both directions: old 0, new 1, neither 1; as many for the new one by chance: 50.0%" in capsys.readouterr().out
    )
    with pytest.raises(FileExistsError):  # the choices are kept
        blind.make(tmp_path, str(release), "embedded", folder)


def test_the_cost_of_a_condition_is_a_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    condition.main(32, 1, ("torch",))
    rows = re.findall(r"^\| torch \| (\w+) \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", capsys.readouterr().out, re.MULTILINE)
    assert rows == ["sketch", "photo"]


def test_the_face_finder_is_measured_on_faces_laid_into_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "behind").mkdir()
    Image.new("RGB", (64, 48), "lightgrey").save(tmp_path / "behind/grey.png")
    squares = {"photos": {str(ROOT / "examples/photos/ben.webp"): (0.5, 0.5, 1.0, 0.0)}}
    (tmp_path / "faces.json").write_text(json.dumps(squares))
    faces.main(tmp_path / "faces.json", tmp_path / "behind")
    printed = capsys.readouterr().out
    assert "| 0.3, tilt 20 | 1 | 0 |" in printed
    assert len(re.findall(r"^\| .* ms \|$", printed, re.MULTILINE)) == 13


def test_every_row_of_the_options_is_a_run_of_its_own() -> None:
    configs = [
        read_flags([*options.BASE, *flags.format(vgg16="vgg16", face="face").split()])
        for flags in options.ROWS.values()
    ]
    assert all(configs.count(config) == 1 for config in configs)
    names = ["ssim", "fsim", "haarpsi", "cycle_l1", "given_ssim", "given_cycle_l1", "identity_distance"]
    row = {f"{direction}_{name}": 0.5 for direction in Direction for name in names} | {"skin": 9.0, "cpu_s": 3.0}
    *_, last = options.table({"default, seed 0": row, "zoom": row | {"cpu_s": 6.0}}).splitlines()
    assert last.startswith("| zoom | .500 |") and last.endswith("| 9 | 2.00 |")


@pytest.mark.parametrize("recipe", ["embedded.sh", "gpu.sh"])
def test_the_flags_of_a_recipe_exist(recipe: str) -> None:
    flags = set(re.findall(r"--(?:no-)?([a-z0-9][a-z0-9-]+)", (ROOT / "recipes" / recipe).read_text()))
    of_training = {field.name.replace("_", "-") for field in fields(TrainConfig)}
    evaluating = {"weights", "true-style", "own-palette", "json"}
    converting = {"to", "framing", "prepare", "size", "style", "out"}
    finishing = {"sketch", "photo", "sketch-detail", "photo-detail", "drawn-detail", "sketch-grid", "photo-grid"}
    finishing |= {"keep-skin"}
    alone = {"vgg16", "face", "discriminator", "few-strokes", "steps", "adversarial-weight", "chroma-weight"}
    alone |= {"line-weight", "stroke-weight", "grid-weight", "fsim-weight", "cycle-weight", "partner", "red-weight"}
    assert flags <= of_training | evaluating | converting | finishing | alone | {"batch"}
