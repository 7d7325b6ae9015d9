"""What a style and a palette cost in each engine: the ratio of the times with the condition and without its map.

    python -m benchmarks.condition

`without` is the same generator after its map from conditions is taken away; `with` is told a condition. They take turns
picture by picture, and the time is that of the processor, so that other work on the machine matters less. The bar is
1.03. The page for the visitor's device adds no step for a condition; see docs/device.md.
"""

import copy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import tyro
from torch import Tensor

from cyclegan import FaceSketchPipeline
from cyclegan.engines.build import ENGINES, EngineError, build
from cyclegan.engines.onnx import sample
from cyclegan.networks import Generator
from cyclegan.release import EMBEDDED


def without_conditions(generator: Generator) -> Generator:
    """The same generator, to which nothing can be told."""
    plain = copy.deepcopy(generator)
    del plain.condition
    plain.conditions = 0
    return plain


def ratio(plain: Callable[[], Tensor], told: Callable[[], Tensor], pictures: int) -> tuple[float, float, float]:
    """Median milliseconds of two contenders, and the median ratio of the second to the first in a turn."""
    times: tuple[list[float], list[float]] = [], []
    for turn in range(pictures + 3):  # the first ones warm up
        for number in (0, 1) if turn % 2 else (1, 0):
            start = time.process_time()
            (plain, told)[number]()
            if turn >= 3:
                times[number].append(1000 * (time.process_time() - start))
    quotient = statistics.median(b / a for a, b in zip(*times, strict=True))
    return statistics.median(times[0]), statistics.median(times[1]), quotient


@torch.inference_mode()
def main(size: int = 256, pictures: int = 60, engines: tuple[str, ...] = ENGINES, weights: str = str(EMBEDDED)) -> None:
    """Print a Markdown table.

    Args:
        size: Side of the pictures in pixels.
        pictures: Turns of each engine.
        engines: Those to measure; what does not run here is left out.
        weights: A release with styles or a palette. Not given: the embedded weights.
    """
    pipe = FaceSketchPipeline.from_pretrained(weights, device="cpu")
    picture = sample(1, size)
    print("| engine | generator | without, ms | with, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for name in engines:
        for kind in ("sketch", "photo"):
            generator = getattr(pipe, f"{kind}_generator")
            told = torch.zeros(1, generator.conditions)
            told[0, 0] = 1.0
            try:
                plain, full = build(name, without_conditions(generator), size), build(name, generator, size)
            except EngineError as error:
                print(error, file=sys.stderr)
                break
            before, after, quotient = ratio(partial(plain, picture), partial(full, picture, told), pictures)
            print(f"| {name} | {kind} | {before:.1f} | {after:.1f} | {quotient:.3f} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
