"""The benchmarks run and say what they measured; how fast is not for a test to judge."""

import json

from conftest import ROOT, run


def test_the_training_benchmark_prints_one_json_object() -> None:
    flags = ("--size", "32", "--batch", "2", "--width", "4", "--turns", "1", "--seconds", "0.1", "--json")
    result = run("-m", "benchmarks.training", *flags, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["ratio"] == figures["ours_pairs_per_s"] / figures["reference_pairs_per_s"]
    assert 0 <= figures["data_wait_share"] < 1
    assert (figures["size"], figures["batch"], figures["width"]) == (32, 2, 4)
