"""How a generator runs fastest on the processor at hand.

An engine is called as the generator is, with (B, 3, H, W) float32 in [-1, 1], perhaps a condition, and whether the
pictures are large. All but `torch` run the generator as `rewrite` makes it, and all but torch's as ONNX. A model in 8
bits is made once and kept in the user's cache. What large pictures need is made when the first one comes.
"""

import copy
import functools
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..devices import has_bf16
from ..extras import extra
from ..files import atomic, cache_folder, kept_in_cache
from ..images import pad_to_multiple
from ..networks import Generator
from .onnx import quantise, sample, to_onnx
from .rewrite import rewrite

Engine = Callable[..., Tensor]
EngineName = Literal["torch", "torch-bf16", "compile", "openvino", "openvino-bf16", "openvino-int8", "onnxruntime"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
CALIBRATION = 16  # pictures that int8 takes its ranges from


class EngineError(ValueError):
    """An engine cannot run here. The message says what is missing."""


def build(name: str, generator: Generator, size: int) -> Engine:
    """Start an engine.

    Args:
        name: one of `ENGINES`.
        generator: on the CPU, in float32 and in evaluation mode.
        size: the working size in pixels. The engine is fastest at this size, and 8 bits are calibrated at it.

    Raises:
        EngineError: there is no such engine, its package is missing, the processor does not support it, or the cache
            cannot be written.
    """
    if name not in ENGINES:
        raise EngineError(f"engine must be one of auto, {', '.join(ENGINES)}; got {name!r}.")
    if name.endswith("-bf16") and not has_bf16():
        raise EngineError(f"The engine {name} needs a processor with bfloat16 instructions, which this one lacks.")
    if name == "torch":
        return generator
    pays = not generator.compact and name != "openvino-int8"  # Winograd, where nothing is rounded to 8 bits
    locks = {large: Lock() for large in (False, True)}  # nothing is started twice, or waits for what it does not need

    @functools.cache
    def start(large: bool, winograd: bool) -> Engine:
        return _start(name, rewrite(generator, winograd), large, size)

    def run(pictures: Tensor, condition: Tensor | None = None, large: bool = False) -> Tensor:
        even = pictures.shape[2] % ((4 if large else 2) * generator.multiple) == 0
        with locks[large]:
            network = start(large, pays and even)
        return network(pictures, condition)

    with extra("int8" if name == "openvino-int8" else "fast", f"The engine {name}", EngineError):
        start(False, pays)
    return run


def _start(name: str, network: Generator, large: bool, size: int) -> Engine:
    match name:
        case "torch-bf16":
            return _torch(network, large, torch.bfloat16)
        case "compile":
            plain = _torch(network, large, torch.bfloat16 if has_bf16() else torch.float32)
            return plain if large else torch.compile(plain)  # its algebra of shapes takes minutes for both sizes
        case "onnxruntime":
            return run_onnxruntime(to_onnx(network, large).SerializeToString())
        case "openvino" | "openvino-bf16":
            precision = "bf16" if name.endswith("bf16") else "f32"
            return run_openvino(to_onnx(network, large).SerializeToString(), precision, size)
        case _:
            return run_openvino(_int8(network, large, size), "bf16" if has_bf16() else "f32", size)


def _torch(generator: Generator, large: bool, dtype: torch.dtype) -> Engine:
    network = copy.deepcopy(generator).to(dtype).to(memory_format=torch.channels_last)

    def run(pictures: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            condition = condition.to(dtype)
        return network(pictures.to(dtype, memory_format=torch.channels_last), condition, large).float()

    return run


def run_onnxruntime(model: bytes | Path) -> Engine:
    """Run an ONNX model with ONNX Runtime on the CPU, with as many threads as torch.

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    size = {given.name: given.shape[1] for given in session.get_inputs()}.get("condition", 0)

    def run(pictures: Tensor, condition: Tensor | None = None) -> Tensor:
        given = {"picture": pictures}
        if condition is not None or size:
            given["condition"] = torch.zeros(1, size) if condition is None else condition
        return torch.from_numpy(session.run(None, {name: tensor.numpy() for name, tensor in given.items()})[0])

    return run


def run_openvino(model: bytes | Path, precision: str = "f32", size: int | None = None) -> Engine:
    """Run an ONNX model or an OpenVINO file.

    A single square picture of 1, 1.5, 2, ... times `size` runs faster than others.
    """
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}

    network = core.read_model(model)
    none = [torch.zeros(1, given.partial_shape[1].get_length()) for given in network.inputs[1:]]

    @functools.lru_cache(4)  # a model of one shape takes memory
    def compiled(*shape: int) -> Any:
        model = network.clone()
        if shape:
            model.reshape(dict(enumerate([shape, *(condition.shape for condition in none)])))
        return core.compile_model(model, "CPU", settings)

    def run(pictures: Tensor, condition: Tensor | None = None) -> Tensor:
        batch, _, height, width = pictures.shape
        known = size and batch == 1 and height == width and height % (size // 2) == 0
        model = compiled(*pictures.shape) if known else compiled()
        given = [pictures, *(none if condition is None else [condition])]
        # A request of its own for each call: several threads may call at once
        return torch.from_numpy(model.infer_new_request([tensor.numpy() for tensor in given])[0])

    return run


def _int8(generator: Generator, large: bool, size: int) -> Path:
    """Return the model in 8 bits in the cache, and make it if needed."""
    path = folder_of(generator) / f"int8-{size}{'-large' if large else ''}.onnx"
    if not path.exists():
        scale = 2 if large else 1
        pictures = pad_to_multiple(sample(CALIBRATION, scale * size), scale * generator.multiple)
        model = quantise(to_onnx(generator, large), pictures)
        with kept_in_cache("The model in 8 bits", EngineError), atomic(path) as partial:
            partial.write_bytes(model.SerializeToString())
    return path


def folder_of(generator: Generator) -> Path:
    """Return the cache folder of a generator, named after its weights, its code and the version of torch."""
    settings = repr({name: value for name, value in vars(generator).items() if not name.startswith("_")})
    weights = (tensor.numpy().tobytes() for tensor in generator.state_dict().values())
    files = (*sorted(Path(__file__).parent.glob("*.py")), Path(inspect.getfile(Generator)))
    code = (file.read_bytes() for file in files)
    return cache_folder() / "engines" / digest(*weights, *code, settings.encode(), torch.__version__.encode())


def digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
