"""Generators that other CycleGAN code saved, as generators of this project.

A file is recognised by its convolutions, in the order in which they were defined: their shapes give the width, the
number of blocks and the kind of up-sampling. A .safetensors file holds them in the order of their names, so there the
shapes say which is which. Names matter only for the padding. In an `nn.Sequential` a ReflectionPad layer takes the
number before the convolution's, as in the reference implementation
(https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix), whose first convolution is `model.1`. Where there is no such
layer it is number 0, or has a name, and zeros pad.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from .files import is_text, readable
from .networks import Generator, Padding, Upsample
from .release import WeightsError

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # InstanceNorm of before PyTorch 0.4 left them


def read_generator(path: Path, network: str | None = None) -> Generator:
    """Read a generator from a `.pth` or `.safetensors` file, without unpickling anything but tensors.

    Args:
        network: which one, where the file holds several: its key, or the start of its tensors' names.

    Raises:
        WeightsError: it cannot be read, or is no ResNet generator of the paper; the message says what differs.
    """
    state = _one_network(_load(path), path, network)
    state = {name.removeprefix("module."): value for name, value in state.items()}  # of nn.DataParallel
    layers = {name.rpartition(".")[0] for name, value in state.items() if value.ndim == 4}
    for name, value in [*state.items()]:
        layer, _, kind = name.rpartition(".")
        if value.layout != torch.strided or value.is_meta:
            raise WeightsError(f"{path}: {name} must be a dense tensor with numbers; got {value.layout}.")
        if layer in layers:
            if not value.is_floating_point():
                raise WeightsError(f"{path}: {name} must hold floating-point numbers; got {value.dtype}.")
            state[name] = value.float()  # in 64 bits, numbers may be finite that are not in 32
            if not state[name].isfinite().all():
                raise WeightsError(f"{path}: {name} holds NaN or infinite numbers.")
        elif kind not in STATISTICS and not torch.equal(value, torch.full_like(value, kind == "weight")):
            raise WeightsError(f"{path}: {name} belongs to a batch norm or a learned scale; neither is supported.")
    convolutions = {name.removesuffix(".weight"): value for name, value in state.items() if value.ndim == 4}

    blocks = (len(convolutions) - 6) // 2
    if blocks < 0 or len(convolutions) % 2 or not all(weight.numel() for weight in convolutions.values()):
        raise WeightsError(
            f"{path} has {len(convolutions)} convolutions. A ResNet generator has 6, plus two for each block."
        )
    stems = [weight for weight in convolutions.values() if weight.shape[1:] == (3, 7, 7)]
    width = (stems or [*convolutions.values()])[0].shape[0]
    resized = any(weight.shape[:2] == (2 * width, 4 * width) for weight in convolutions.values())
    upsample: Upsample = "resize" if resized else "transpose"
    with torch.device("meta"):  # whatever width the file claims
        ours = Generator(width, blocks, "zero", upsample).state_dict()
    names = [name.removesuffix(".weight") for name in ours if name.endswith(".weight")]
    if path.suffix == ".safetensors":
        convolutions = _sort(
            convolutions, state, [(ours[f"{name}.weight"], ours[f"{name}.bias"]) for name in names], path
        )
    for name, (layer, weight) in zip(names, convolutions.items(), strict=True):
        expected = ours[f"{name}.weight"].shape
        if weight.shape != expected:
            raise WeightsError(
                f"{path} is not a ResNet generator of width {width} with {blocks} blocks: {layer}.weight must have "
                f"shape {tuple(expected)}; got {tuple(weight.shape)}."
            )
        bias = state.get(f"{layer}.bias", torch.zeros(ours[f"{name}.bias"].shape))
        if bias.shape != ours[f"{name}.bias"].shape:
            raise WeightsError(f"{path}: {layer}.bias is {tuple(bias.shape)}, which does not fit its weight.")
        ours[f"{name}.weight"], ours[f"{name}.bias"] = weight, bias
    with torch.device("meta"):
        generator = Generator(width, blocks, _padding(list(convolutions), resized, path), upsample)
    generator.load_state_dict(ours, assign=True)
    return generator


def _load(path: Path) -> Any:
    if not is_text(path):
        raise WeightsError(f"{readable(path)} is no UTF-8 name, so it cannot be opened. Rename it.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist.") from None
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} contains more than tensors or is not a .pth file. It was not read, because that could run code. "
            "Save the state_dict() of the network instead."
        ) from None
    except (PermissionError, IsADirectoryError) as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # torch.load raises nearly anything on damaged files
        kind = path.suffix if path.suffix == ".safetensors" else ".pth"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} is damaged or no {kind} file: {reason}") from None


def _one_network(loaded: Any, path: Path, network: str | None) -> dict[str, Tensor]:
    """The state dict in a file: the file itself, one a level down, or the one that was asked for."""
    found = {str(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}
    nested = {key: value for key, value in found.items() if _is_state(value)}
    if not nested:  # of networks in one module the names' first parts differ; the layers of one are numbered or named
        parts = {name.split(".")[0] for name in found if name.count(".") > 1}
        if network in parts and _is_state(found):
            return {
                name[len(f"{network}.") :]: value for name, value in found.items() if name.startswith(f"{network}.")
            }
    if network is not None:
        if network not in nested:
            raise WeightsError(f"{path} has no network {network}; it has {', '.join(nested) or 'one without a name'}.")
        return nested[network]
    if len(nested) > 1:
        raise WeightsError(f"{path} holds several networks. Choose one with --networks: {', '.join(nested)}.")
    if (not nested and not all(isinstance(value, Tensor) for value in found.values())) or not isinstance(loaded, dict):
        raise WeightsError(f"{path} is not the state_dict of one network: it contains more than named tensors.")
    return next(iter(nested.values()), found)


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(part, Tensor) for part in value.values())


def _sort(
    convolutions: dict[str, Tensor], state: dict[str, Tensor], expected: list[tuple[Tensor, Tensor]], path: Path
) -> dict[str, Tensor]:
    """Bring convolutions that are in the order of their names into the order in which they are applied.

    The numbers in their names say it, or their shapes: a transposed convolution has a bias for each channel of its
    weight's second axis, and another for each of the first. What does not fit keeps its place.
    """
    left = {layer: convolutions[layer] for layer in sorted(convolutions, key=_natural)}
    if [weight.shape for weight in left.values()] == [weight.shape for weight, _ in expected]:
        return left
    ordered: dict[str, Tensor] = {}
    for weight, bias in expected:
        fits = [
            layer
            for layer, theirs in left.items()
            if theirs.shape == weight.shape and state.get(f"{layer}.bias", bias).shape == bias.shape
        ]
        if len(fits) > 1 and weight.shape[0] != weight.shape[1]:  # not those of the blocks
            raise WeightsError(
                f"{path}: {' and '.join(fits)} have one shape and no biases, and the file does not say which comes "
                "first. Use a .pth file instead."
            )
        if fits:
            ordered[fits[0]] = left.pop(fits[0])
    return ordered | left


def _natural(name: str) -> list[str]:
    """A key that sorts layer2 before layer10."""
    return [part.zfill(9) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _padding(layers: list[str], resized: bool, path: Path) -> Padding:
    """Find out whether padding layers precede the first convolution and the first one of the first block."""
    first = [layers[0], *layers[3:4]] if len(layers) > 6 else layers[:1]
    if (
        resized
        and (places := re.fullmatch(r"(.*?)(\d+) (.*?)(\d+)", f"{layers[-3]} {layers[-2]}"))
        and places[1] == places[3]
    ):
        # In one Sequential: convolution, norm, ReLU, up-sampling, and maybe padding before the next
        padded = int(places[4]) - int(places[2]) > 4
        if padded != (layers[0].rpartition(".")[2] == "1"):
            raise WeightsError(
                f"{path} pads {layers[0]} and {layers[-2]} differently: one by reflection, the other with zeros."
            )
    numbers = {layer.rpartition(".")[2] for layer in first}
    if numbers == {"1"}:
        return "reflect"
    if "1" in numbers:
        raise WeightsError(f"{path} pads {' and '.join(first)} differently: one by reflection, the other with zeros.")
    return "zero"
