"""How a generator runs fastest on the processor at hand.

An engine is a function: (B, 3, H, W) float32 in [-1, 1] -> the same, where H and W are what the generator takes. All
but `torch` run the generator as `inference.rewrite` makes it, and all but torch's an ONNX file, which is made once and
kept in the user's cache.
"""

import copy
import functools
import hashlib
import inspect
import json
import logging
import pickle
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import cache_folder
from .checkpoint import atomic
from .images import pad_to_multiple
from .inference import rewrite
from .networks import Generator

Engine = Callable[[Tensor], Tensor]
Key = TypeVar("Key", bound=Hashable)
EngineName = Literal["torch", "torch-bf16", "compile", "openvino", "openvino-bf16", "openvino-int8", "onnxruntime"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
# What `choose` compares with torch. Compiling takes longer than it may, and int8 shows: both are for those who ask
TRIED: tuple[EngineName, ...] = ("torch-bf16", "onnxruntime", "openvino", "openvino-bf16")
TOLERANCE = 0.005  # mean absolute difference from torch in float32, in [-1, 1]: half a level of 8 bits
TURNS, SECONDS = 3, 0.05  # of each engine in `choose`
CALIBRATION = 16  # pictures that int8 takes its ranges from


class EngineError(ValueError):
    """An engine that does not run here; the message says what it lacks."""


def choose(generator: Generator, size: int) -> tuple[EngineName, Engine]:
    """The fastest engine whose pictures are those of torch in float32, which is what is left where all others fail.

    It is measured once, on generated pictures, and remembered for this machine, these versions and these weights.

    Args:
        generator: on the CPU, in float32 and in eval mode. size: the side in pixels to be fast at.
    """
    machine = (platform.node(), str(torch.cpu.get_capabilities()), torch.get_num_threads(), size)
    packages = [_installed(name) for name in ("openvino", "onnxruntime")]
    note = _folder(generator) / f"{_digest(repr((machine, packages)).encode())}.json"
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
        milliseconds = measure(engines, pictures[:1], TURNS, SECONDS)
    fastest = min(engines, key=lambda name: min(milliseconds[name]))
    with suppress(OSError), atomic(note) as partial:
        best = {name: round(min(times), 2) for name, times in milliseconds.items()}
        partial.write_text(json.dumps({"engine": fastest, "milliseconds": best}) + "\n")
    return fastest, engines[fastest]


def choose_apart(generators: Sequence[Generator], size: int) -> list[tuple[str, Engine]]:
    """What `choose` finds for each, in a process of its own, so that others can use torch in this one meanwhile.

    Tracing a generator for ONNX patches the modules of the whole process, and leaves its other threads little time.
    """
    code = (
        "import pickle, sys; from cyclegan.engines import choose; generators, size = pickle.load(sys.stdin.buffer); "
        "print(*(choose(generator, size)[0] for generator in generators))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], input=pickle.dumps((generators, size)),
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    names = child.stdout.decode().split()[-len(generators) :]
    found = [(name, build(name, generator, size)) for name, generator in zip(names, generators, strict=True)]
    with torch.inference_mode():
        for generator, (_, engine) in zip(generators, found, strict=True):
            engine(pad_to_multiple(sample(1, size), generator.multiple))  # the first picture takes longest
    return found


def measure(engines: Mapping[Key, Engine], pictures: Tensor, turns: int, seconds: float) -> dict[Key, list[float]]:
    """Milliseconds of each call, the engines taking turns of so many seconds; a turn's first call warms up."""
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


def build(name: str, generator: Generator, size: int) -> Engine:
    """Start the engine of that name.

    Args:
        generator: on the CPU, in float32 and in eval mode.
        size: the side in pixels that 8 bits are fitted to; the other engines are for any.

    Raises:
        EngineError: there is none of that name, its package is missing, or the processor cannot.
    """
    if name not in ENGINES:
        raise EngineError(f"There is no engine {name!r}: it is auto, {', '.join(ENGINES)}.")
    if name.endswith("-bf16") and not _has_bf16():
        raise EngineError(f"The engine {name} needs a processor that computes in bfloat16, and this one does not.")
    if name == "torch":
        return generator
    winograd = not generator.compact and name != "openvino-int8"  # where it pays, and nothing is rounded to 8 bits
    with needs(f"The engine {name}"):
        fast = _start(name, rewrite(generator, winograd), size)
    if not winograd:
        return fast
    other = functools.cache(lambda: _start(name, rewrite(generator, False), size))
    return lambda pictures: (other() if pictures.shape[2] % (2 * generator.multiple) else fast)(pictures)


def _start(name: str, network: Generator, size: int) -> Engine:
    match name:
        case "torch-bf16":
            return _torch(network, torch.bfloat16)
        case "compile":
            return torch.compile(_torch(network, torch.bfloat16 if _has_bf16() else torch.float32))
        case "onnxruntime":
            return run_onnxruntime(_onnx(network))
        case "openvino":
            return run_openvino(_onnx(network), size=size)
        case "openvino-bf16":
            return run_openvino(_onnx(network), "bf16", size)
        case _:
            return run_openvino(_int8(network, size), "bf16" if _has_bf16() else "f32", size)


@contextmanager
def needs(what: str) -> Iterator[None]:
    """Say in a sentence which package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EngineError(f"{what} needs the package {error.name}: pip install {error.name}.") from None


def _torch(generator: Generator, dtype: torch.dtype) -> Engine:
    network = copy.deepcopy(generator).to(dtype).to(memory_format=torch.channels_last)

    def run(pictures: Tensor) -> Tensor:
        return network(pictures.to(dtype, memory_format=torch.channels_last)).float()

    return run


def run_onnxruntime(path: Path) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pictures: torch.from_numpy(session.run(None, {"picture": pictures.numpy()})[0])


def run_openvino(path: Path, precision: str = "f32", size: int | None = None) -> Engine:
    """Run a file of either format; one picture of size x size at a time is run faster than other shapes."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}

    @functools.cache
    def compiled(*shape: int) -> Any:
        model = core.read_model(path)
        if shape:
            model.reshape(shape)
        return core.compile_model(model, "CPU", settings)

    def run(pictures: Tensor) -> Tensor:
        model = compiled(*pictures.shape) if pictures.shape == (1, 3, size, size) else compiled()
        # A request of its own for each call: several threads may call at once
        return torch.from_numpy(model.infer_new_request([pictures.numpy()])[0])

    return run


def _onnx(generator: Generator) -> Path:
    """The generator's ONNX file in the cache, made if it is not there yet."""
    path = _folder(generator) / "generator.onnx"
    if not path.exists():
        with atomic(path) as partial:
            to_onnx(generator, partial)
    return path


def _int8(generator: Generator, size: int) -> Path:
    path = _folder(generator) / f"int8-{size}.onnx"
    if not path.exists():
        with atomic(path) as partial:
            quantise(_onnx(generator), partial, pad_to_multiple(sample(CALIBRATION, size), generator.multiple))
    return path


def to_onnx(generator: Generator, path: Path) -> None:
    """Write a generator as ONNX: `picture` (batch, 3, height, width) -> `result`, of any batch, height and width."""
    multiple = generator.multiple
    sides = {2: multiple * torch.export.Dim("height", min=2), 3: multiple * torch.export.Dim("width", min=2)}
    torch.onnx.export(
        generator,
        (torch.zeros(2, 3, 4 * multiple, 5 * multiple),),
        path,
        input_names=["picture"],
        output_names=["result"],
        dynamic_shapes=({0: torch.export.Dim("batch")} | sides,),
        external_data=False,
        verbose=False,
    )


def quantise(source: Path, target: Path, pictures: Tensor) -> None:
    """Write an ONNX file whose convolutions compute in 8 bits, with ranges taken from pictures (N, 3, H, W).

    Jacob et al. 2018, https://arxiv.org/abs/1712.05877. What it makes differs from torch's pictures by 0.01 to 0.03.
    """
    import nncf
    import onnx

    data = nncf.Dataset(pictures.split(1), lambda picture: {"picture": picture.numpy()})
    # Through a Pad the ranges come out wrong: ten times the error
    scope = nncf.IgnoredScope(types=["Pad"], validate=False)
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # where its progress bars belong
        model = nncf.quantize(onnx.load(source), data, subset_size=len(pictures), ignored_scope=scope)
    onnx.save(model, target)


def sample(count: int, size: int) -> Tensor:
    """Random pictures, always the same: (count, 3, size, size) in [-1, 1].

    They have large shapes and fine grain, as photos have: on flat ones InstanceNorm magnifies what an engine rounds.
    """
    random = torch.Generator().manual_seed(0)
    pictures = torch.zeros(count, 3, size, size)
    for cells in (2**power for power in range(2, size.bit_length() - 1)):  # 4, 8, ... size / 2
        grain = torch.randn(count, 3, cells, cells, generator=random)
        pictures += F.interpolate(grain, (size, size), mode="bicubic") * (3 / cells)
    return pictures.clamp(-1, 1)


def _has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _folder(generator: Generator) -> Path:
    """Where the cache keeps what is made of a generator: named after its weights, and the code and torch it runs in."""
    settings = repr({name: value for name, value in vars(generator).items() if not name.startswith("_")})
    weights = (tensor.numpy().tobytes() for tensor in generator.state_dict().values())
    files = (__file__, inspect.getfile(rewrite), inspect.getfile(Generator))
    code = (Path(file).read_bytes() for file in files)
    return cache_folder() / "engines" / _digest(*weights, *code, settings.encode(), torch.__version__.encode())


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
