"""Generators that other CycleGAN code saved as `.pth` files, as generators of this project.

A file is recognised by its convolutions, in the order in which they were defined: their shapes give the width and the
number of blocks. Names matter only for the padding. In an `nn.Sequential` a ReflectionPad layer takes the number before
the convolution's, as in the reference implementation (https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix), whose
first convolution is `model.1`. The mission's original files pad with zeros: theirs is number 0, or has a name.
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from .networks import Generator, Padding
from .release import WeightsError

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # InstanceNorm of before PyTorch 0.4 left them


def read_generator(path: Path) -> Generator:
    """Read a generator from a `.pth` file, without unpickling anything but tensors.

    Raises:
        WeightsError: it cannot be read, or is no ResNet generator of the paper; the message says what differs.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist.") from None
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} holds more than tensors, or is no .pth file. It was not read, because that could run code in it: "
            "save the state_dict() of the network where it was made."
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no .pth file: {str(error).splitlines()[0]}") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise WeightsError(f"{path} is no state_dict of one network: it holds more than named tensors.")
    state = {name.removeprefix("module."): value for name, value in loaded.items()}  # of nn.DataParallel
    convolutions = {name.removesuffix(".weight"): value for name, value in state.items() if value.ndim == 4}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        if layer in convolutions or kind in STATISTICS:
            continue
        if not torch.equal(value, torch.full_like(value, kind == "weight")):
            raise WeightsError(f"{path}: {name} belongs to batch normalisation or a learned scale; ours has neither.")

    blocks = (len(convolutions) - 6) // 2
    if blocks < 0 or len(convolutions) % 2:
        raise WeightsError(
            f"{path} has {len(convolutions)} convolutions; a ResNet generator has 6, and two for each block."
        )
    width = next(iter(convolutions.values())).shape[0]
    generator = Generator(width, blocks, _padding(list(convolutions), path), "transpose")
    ours = generator.state_dict()
    names = [name.removesuffix(".weight") for name in ours if name.endswith(".weight")]
    for name, (layer, weight) in zip(names, convolutions.items(), strict=True):
        expected = ours[f"{name}.weight"].shape
        if weight.shape != expected:
            raise WeightsError(
                f"{path} is no ResNet generator of width {width} and {blocks} blocks: {layer}.weight is "
                f"{tuple(weight.shape)} and not {tuple(expected)}."
            )
        ours[f"{name}.weight"] = weight.float()
        ours[f"{name}.bias"] = state.get(f"{layer}.bias", torch.zeros_like(ours[f"{name}.bias"])).float()
    generator.load_state_dict(ours)
    return generator


def _padding(layers: list[str], path: Path) -> Padding:
    """Whether the first convolution, and the first of the first block, stand behind a padding layer."""
    first = [layers[0], *layers[3:4]] if len(layers) > 6 else layers[:1]
    numbers = {layer.rpartition(".")[2] for layer in first}
    if numbers == {"1"}:
        return "reflect"
    if "1" in numbers:
        raise WeightsError(f"{path} pads {' and '.join(first)} differently: one by reflection, one with zeros.")
    return "zero"
