"""Compare the losses of two commits: `python -m benchmarks.compare_losses main HEAD`.

A refactoring of the training must leave them equal. Each commit trains a small model on the code-drawn examples, in a
git worktree of its own, with one thread and in float32. The exit code is 1 if any loss differs.
"""

import csv
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tyro

ROOT = Path(__file__).parent.parent
FLAGS = (
    "--image-size", "32", "--width", "8", "--blocks", "2", "--discriminator-width", "8", "--batch-size", "2",
    "--log-every", "1", "--mixed-precision", "no",
)  # fmt: skip
Losses = list[dict[str, str]]


def losses(commit: str, scratch: Path, steps: int, flags: list[str]) -> Losses:
    """Train at a commit and return the rows of its losses.csv."""
    tree, output = scratch / "tree", scratch / "run"
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True)
    try:
        settings = {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "CYCLEGAN_CACHE": str(scratch / "cache")}
        command: list[str | Path] = [sys.executable, tree / "train_accelerate.py"]
        command += ["--data", scratch.parent / "data", "--output", output]
        subprocess.run(
            [*command, *FLAGS, "--max-steps", str(steps), *flags], cwd=tree, env=os.environ | settings, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    with (output / "losses.csv").open() as file:
        return list(csv.DictReader(file))


def largest_differences(one: Losses, other: Losses) -> dict[str, float]:
    """The largest absolute difference of each column that is a loss or a correlation and that both runs have."""
    measured = ("adversarial", "cycle", "identity", "paired", "discriminator", "correlation")
    columns = [name for name in one[0] if name in other[0] and any(word in name for word in measured)]
    return {
        name: max((abs(float(a[name]) - float(b[name])) for a, b in zip(one, other, strict=True) if a[name]), default=0)
        for name in columns
    }


def main(
    before: tyro.conf.Positional[str],
    after: tyro.conf.Positional[str],
    steps: int = 8,
    flags: str = "",
) -> int:
    """Print the largest difference of each loss between two commits.

    Args:
        before: A commit, branch or tag.
        after: Another one.
        steps: Length of both runs.
        flags: More flags of the training script, in quotes: "--compact --spectral-norm".
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for kind in ("photos", "sketches"):
            shutil.copytree(ROOT / "examples" / kind, scratch / "data/train" / kind)
        runs = []
        for name, commit in (("before", before), ("after", after)):
            (scratch / name).mkdir()
            runs.append(losses(commit, scratch / name, steps, shlex.split(flags)))
    differences = largest_differences(*runs)
    for name, difference in differences.items():
        print(f"{name:24} {difference:.3g}")
    return int(any(differences.values()))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
