"""Compare the options of training at equal updates: the same start, the same pictures, one flag changed in each row.

    python -m benchmarks.options --data photosandsketches --vgg16 vgg16.safetensors --face face.onnx

Every row is a run of train_accelerate.py of its own, started from the embedded weights, and scored on every third pair
of test/. Rows that are done are kept, and a run that was stopped goes on, so the same command continues after a break.
Two seeds of the default show what is chance.
"""

import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from cyclegan import FaceSketchPipeline
from cyclegan.data.names import find_pairs, find_styles
from cyclegan.evaluation.identity import Identity
from cyclegan.evaluation.metrics import perceptual_figures
from cyclegan.evaluation.pairs import Squares, load_pairs
from cyclegan.evaluation.protocol import Hints, measure
from cyclegan.images import normalise
from cyclegan.palette import make_palette, read_palette

ROOT = Path(__file__).parent.parent
STYLES = "style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$"
BASE = (
    "--style-pattern", STYLES, "--palette", "--paired-weight", "24", "--batch-size", "2", "--width", "32",
    "--blocks", "6", "--compact", "--upsample", "resize", "--grey-sketches", "--discriminator-width", "32",
    "--identity-weight", "0", "--decay-from", "1", "--learning-rate", "1e-4", "--validation-pictures", "0",
    "--mixed-precision", "no",
)  # fmt: skip
ROWS: dict[str, str] = {  # name -> flags beside BASE; {vgg16} and {face} are the files
    "default, seed 0": "",
    "default, seed 1": "--seed 1",
    "perceptual weight 1": "--perceptual-weight 1 --perceptual-network {vgg16}",
    "likeness weight 2": "--likeness-weight 2 --likeness-network {face}",
    "palette weight 5": "--palette-weight 5",
    "zoom 1 to 2": "--zoom 1 2",
    "zoom 0.9 to 1": "--zoom 0.9 1",
    "warp 0.1": "--warp 0.1",
    "line sketches 0.25": "--line-sketches 0.25",
    "relight 0.3": "--relight 0.3",
    "recolour 0.2": "--recolour 0.2",
    "reconstruction noise 0.02": "--reconstruction-noise 0.02",
    "cycle weight 20": "--cycle-weight 20",
    "identity weight 5": "--identity-weight 5",
    "paired weight 8": "--paired-weight 8",
    "spectral norm": "--spectral-norm",
    "differentiable augmentation": "--differentiable-augmentation",
    "EMA decay 0": "--ema-decay 0",
}
SKINS = ("#5b3a24", "#e0ac69", "#f3d6c4")  # asked for, to see whether they are painted


@dataclass(frozen=True)
class Options:
    """Compare the options of training at equal updates."""

    data: Path
    """A data set as in docs/data.md whose sketches are named as FS2K's are."""
    vgg16: Path
    """A safetensors file of VGG16, as --perceptual-network takes it."""
    face: Path
    """A face recognition network, as --likeness-network takes it."""
    output: Path = Path("runs/options")
    """Where runs and figures are kept."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Names of the rows to run."""
    start: str = "embedded"
    """The release that every row begins with."""
    steps: int = 200
    """Updates of each row."""
    size: int = 64
    """Side of the pictures in pixels, in training and scoring."""


def run(options: Options, name: str) -> dict[str, float]:
    """Train and score a row, as far as that has not been done before."""
    folder = options.output / name.replace(" ", "-")
    figures = folder / "options.json"
    if not figures.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        flags = ROWS[name].format(vgg16=options.vgg16, face=options.face).split()
        subprocess.run(
            [
                sys.executable, ROOT / "train_accelerate.py", "--data", options.data, "--output", folder,
                "--start-from", options.start, "--image-size", str(options.size), "--max-steps", str(options.steps),
                "--save-every", "50", "--keep-states", "1", "--resume", *BASE, *flags,
            ],
            check=True,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = score(options, str(folder / "latest"))
        figures.write_text(json.dumps(found | {"cpu_s": after.ru_utime - before.ru_utime}, indent=1))
    return json.loads(figures.read_text())


def score(options: Options, release: str) -> dict[str, float]:
    """The mean figures of every third test pair, by direction, with and without the true style and palette."""
    files = find_pairs(options.data / "test/photos", options.data / "test/sketches")[::3]
    names = [sketch.stem for _, sketch in files]
    pairs = load_pairs(files, 128, names)
    squares = Squares(pairs.photos, pairs.sketches, options.size, names=names)
    pipe = FaceSketchPipeline.from_pretrained(*[] if release == "embedded" else [release], device="cpu")
    found, numbers = find_styles(names, STYLES)
    told = torch.eye(len(found))[numbers]
    identity = Identity(normalise(pairs.photos))
    sums: dict[str, list[Tensor]] = {}
    for hints in (None, Hints(told, own_palette=True)):
        for batch in measure(pipe, squares, len(names), hints):
            _, made, wanted = batch.compared
            values = batch.figures | perceptual_figures(made, wanted, drawn=False)
            values |= identity.figures(made, batch.rows)
            for figure in ("ssim", "fsim", "haarpsi", "cycle_l1", "identity_distance"):
                sums.setdefault(f"{batch.series}_{figure}", []).append(values[figure])
    figures = {name: torch.cat(values).nanmean().item() for name, values in sums.items()}
    sketches = squares.working("sketch", slice(0, len(names)))
    with torch.inference_mode():
        wrong = [
            (read_palette(pipe.translate(pipe.photo_generator, sketches, asked.flatten(1)).float()) - asked)[:, 0, :3]
            for asked in (make_palette(skin=skin) for skin in SKINS)
        ]
    return figures | {"skin": 127.5 * torch.cat(wrong).abs().mean().item()}


def table(rows: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown, in the order in which they were given."""
    columns = {
        "SSIM p→s": "photo_to_sketch_ssim",
        "FSIM": "photo_to_sketch_fsim",
        "cycle, given": "photo_to_sketch_given_cycle_l1",
        "SSIM s→p": "sketch_to_photo_ssim",
        "given": "sketch_to_photo_given_ssim",
        "FSIM ": "sketch_to_photo_fsim",
        "HaarPSI": "sketch_to_photo_haarpsi",
        "cycle, given ": "sketch_to_photo_given_cycle_l1",
        "unlike": "sketch_to_photo_identity_distance",
    }
    base = rows["default, seed 0"]["cpu_s"]
    lines = [f"| | {' | '.join(columns)} | skin | time |", "| --- " * (len(columns) + 3) + "|"]
    for name, row in rows.items():
        values = [f"{row[key]:.3f}".lstrip("0") for key in columns.values()]
        time = f"{row['cpu_s'] / base:.2f}" if "cpu_s" in row else ""
        lines.append(f"| {name} | {' | '.join(values)} | {row['skin']:.0f} | {time} |")
    return "\n".join(lines)


def main() -> None:
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    rows = {name: run(options, name) for name in options.rows}
    if "default, seed 0" in rows:
        print(table({"the start": score(options, options.start)} | rows))


if __name__ == "__main__":
    main()
