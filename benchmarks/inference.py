"""Milliseconds of a picture by every engine, beside the reference: the paper's generator in torch, eager, in float32.

    python -m benchmarks.inference --json > inference.json

Three generators: `reference`; `full`, the same one (or that of --weights) by all engines; `embedded`, the weights
inside the package. They take turns, so that a drifting machine slows all alike. A picture is a batch of one.
"""

import json
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import torch
import tyro

from cyclegan import FaceSketchPipeline
from cyclegan.engines.build import ENGINES, Engine, EngineError, build
from cyclegan.engines.choose import time_engines
from cyclegan.engines.onnx import sample
from cyclegan.networks import Generator


@dataclass(frozen=True)
class Options:
    """Compare the speed of the engines with the reference's."""

    sizes: tuple[int, ...] = (64, 128, 256)
    """Sides of the pictures in pixels."""
    engines: tuple[str, ...] = ENGINES
    """Engines to measure; those that do not run here are left out."""
    weights: str | None = None
    """The release whose sketch generator is `full`. Not given: the paper's generator, untrained."""
    width: int = 64
    """Channels of the first convolution of the reference."""
    turns: int = 10
    """Turns that each takes."""
    seconds: float = 0.5
    """Length of a turn, at least one picture."""
    json: bool = False
    """Print a JSON list instead of the table."""


@dataclass(frozen=True)
class Row:
    """The median and the 95th percentile of a picture's milliseconds, and how often the former fits the reference's."""

    model: str
    size: int
    engine: str
    ms_p50: float
    ms_p95: float
    ratio: float


def main() -> None:
    options = tyro.cli(Options)
    torch.manual_seed(0)
    reference = Generator(options.width).eval()
    full = load(options.weights) if options.weights else reference
    models = {"full": full, "embedded": load(None)}
    rows = []
    for size in options.sizes:
        torch.compiler.reset()  # it would compile for any size at the second one
        contenders: dict[tuple[str, str], Engine] = {("reference", "torch"): reference}
        for model, generator in models.items():
            for engine in options.engines:
                try:
                    contenders[model, engine] = build(engine, generator, size)
                except EngineError as error:
                    print(error, file=sys.stderr)
        with torch.inference_mode():
            times = time_engines(contenders, sample(1, size), options.turns, options.seconds)
        percentiles = {key: np.percentile(some, (50, 95)).tolist() for key, some in times.items()}
        for (model, engine), (p50, p95) in percentiles.items():
            ratio = percentiles["reference", "torch"][0] / p50
            rows.append(Row(model, size, engine, round(p50, 2), round(p95, 2), round(ratio, 2)))
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "openvino", "onnxruntime"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads; {packages}\n")
    print("| model | size | engine | p50, ms | p95, ms | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(map(str, asdict(row).values()))} |")


def load(weights: str | None) -> Generator:
    return FaceSketchPipeline.from_pretrained(*[weights] if weights else [], device="cpu").sketch_generator


if __name__ == "__main__":
    main()
