"""Milliseconds of a large picture: at its full size and at half of it, and as the generator translates it.

    python -m benchmarks.large

A picture has twice the working size of the embedded weights. The ways take turns.
"""

import sys
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cyclegan import FaceSketchPipeline
from cyclegan.engines.build import Engine, EngineError, EngineName, build
from cyclegan.engines.choose import time_engines
from cyclegan.engines.onnx import sample
from cyclegan.networks import take_forms


@dataclass(frozen=True)
class Options:
    """Compare two ways to translate a large picture."""

    engines: tuple[EngineName, ...] = ("torch", "onnxruntime", "openvino", "openvino-bf16", "openvino-int8")
    """Engines to measure; those that do not run here are left out."""
    turns: int = 10
    seconds: float = 0.5
    """Length of a turn, at least one picture."""


def twice(engine: Engine, picture: Tensor) -> Tensor:
    return take_forms(engine(picture), engine(avg_pool2d(picture, 2)))


def large(engine: Engine, picture: Tensor) -> Tensor:
    return engine(picture, None, True)


def small(engine: Engine, picture: Tensor) -> Tensor:
    return engine(avg_pool2d(picture, 2))


def main() -> None:
    options = tyro.cli(Options)
    pipe = FaceSketchPipeline.from_pretrained(device="cpu")
    print("| direction | engine | half the size | both sizes | large | large / both |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (direction, generator), name in product(pipe.generators.items(), options.engines):
        try:
            engine = build(name, generator, pipe.image_size)
        except EngineError as error:
            print(error, file=sys.stderr)
            continue
        ways = {way.__name__: partial(way, engine) for way in (small, twice, large)}
        with torch.inference_mode():
            times = time_engines(ways, sample(1, 2 * pipe.image_size), options.turns, options.seconds)
        half, both, new = (np.median(times[way]) for way in ways)
        print(f"| {direction} | {name} | {half:.0f} ms | {both:.0f} ms | {new:.0f} ms | {new / both:.2f} |", flush=True)


if __name__ == "__main__":
    main()
