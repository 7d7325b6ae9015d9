"""The benchmarks run and say what they measured; how fast is not for a test to judge."""

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, run
from PIL import Image

from benchmarks import kinds
from benchmarks.compare_losses import largest_differences


def test_the_training_benchmark_prints_one_json_object() -> None:
    flags = ("--size", "32", "--batch", "2", "--width", "4", "--turns", "1", "--seconds", "0.1", "--json")
    result = run("-m", "benchmarks.training", *flags, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["ratio"] == figures["ours_pairs_per_s"] / figures["reference_pairs_per_s"]
    assert 0 <= figures["data_wait_share"] < 1
    assert (figures["size"], figures["batch"], figures["width"]) == (32, 2, 4)


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
    result = run("-m", "benchmarks.inference", "--json", "--weights", release, *flags, cwd=ROOT)
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
    results = [sheet.crop((x * 164, y * 344 + 180, x * 164 + 160, y * 344 + 340)) for y in range(3) for x in range(9)]
    blank = [number for number, made in enumerate(results) if made.getextrema() == (255, 255)]
    assert blank == [25], "only the blank page comes back blank"
