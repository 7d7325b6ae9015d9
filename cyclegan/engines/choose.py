"""Choose the fastest engine on this machine. It is measured once and remembered."""

import json
import platform
import time
from collections.abc import Hashable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

import torch
from torch import Tensor

from ..files import atomic
from ..images import pad_to_multiple
from ..networks import Generator
from .build import Engine, EngineName, build, digest, folder_of
from .onnx import sample

Key = TypeVar("Key", bound=Hashable)
# What `choose` compares with torch. Compiling takes too long and int8 is visible, so both must be chosen by name
TRIED: tuple[EngineName, ...] = ("torch-bf16", "onnxruntime", "openvino", "openvino-bf16")
TOLERANCE = 0.005  # mean absolute difference from torch in float32, in [-1, 1]: half a level of 8 bits
TURNS, SECONDS = 3, 0.05  # of each engine in `choose`


def choose(generator: Generator, size: int) -> tuple[EngineName, Engine]:
    """Return the fastest engine whose pictures match those of torch in float32, which is the fallback.

    It is measured once on generated pictures and remembered for this machine, these versions and these weights.

    Args:
        generator: on the CPU, in float32 and in evaluation mode.
        size: the side in pixels to be fast at.
    """
    machine = (platform.node(), str(torch.cpu.get_capabilities()), torch.get_num_threads(), size)
    packages = [_installed(name) for name in ("openvino", "onnxruntime")]
    note = folder_of(generator) / f"{digest(repr((machine, packages)).encode())}.json"
    with suppress(Exception):  # no note, a damaged one, or an engine that has gone: measure
        name = json.loads(note.read_text())["engine"]
        return name, build(name, generator, size)

    pictures = pad_to_multiple(sample(2, size), generator.multiple)
    engines: dict[EngineName, Engine] = {"torch": generator}
    with torch.inference_mode():
        exact = generator(pictures)
        for name in TRIED:
            with suppress(Exception):  # not installed, not for this processor, or broken: there is always torch
                engine = build(name, generator, size)
                if (engine(pictures) - exact).abs().mean() <= TOLERANCE:
                    engines[name] = engine
        milliseconds = time_engines(engines, pictures[:1], TURNS, SECONDS)
    fastest = min(engines, key=lambda name: min(milliseconds[name]))
    with suppress(OSError), atomic(note) as partial:
        best = {name: round(min(times), 2) for name, times in milliseconds.items()}
        partial.write_text(json.dumps({"engine": fastest, "milliseconds": best}) + "\n")
    return fastest, engines[fastest]


@torch.inference_mode()
def warm_up(engine: Engine, generator: Generator, size: int) -> None:
    """Convert a picture of the working size and a large one. The first of each takes longest."""
    for scale in (1, 2):
        engine(pad_to_multiple(sample(1, scale * size), scale * generator.multiple), None, scale > 1)


def time_engines(engines: Mapping[Key, Engine], pictures: Tensor, turns: int, seconds: float) -> dict[Key, list[float]]:
    """Return the milliseconds of each call. Engines take turns of some seconds; the first call of a turn warms up."""
    times: dict[Key, list[float]] = {key: [] for key in engines}
    for _ in range(turns):
        for key, engine in engines.items():
            engine(pictures)
            end = time.perf_counter()
            deadline = end + seconds
            while True:
                start, _ = end, engine(pictures)
                end = time.perf_counter()
                times[key].append(1000 * (end - start))
                if end >= deadline:
                    break
    return times


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
