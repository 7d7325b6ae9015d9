"""Write generators as ONNX files, also in 8 bits."""

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks import Generator


class Large(nn.Module):
    """A generator to which every picture is large."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    # With another name than the generator's for the picture, the batch of the condition would count
    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.generator(image, condition, large=True)


def to_onnx(generator: Generator, path: Path, large: bool = False) -> None:
    """Write a generator as ONNX: `picture` (batch, 3, height, width) -> `result`, of any batch, height and width.

    One with conditions also takes `condition`, (batch, conditions) or (1, conditions); zeros are none.

    Args:
        large: as for the generator.
    """
    multiple = generator.multiple * (2 if large else 1)
    batch = {0: torch.export.Dim("batch")}
    sides = {2: multiple * torch.export.Dim("height", min=2), 3: multiple * torch.export.Dim("width", min=2)}
    condition = [torch.zeros(2, generator.conditions)] if generator.conditions else []
    torch.onnx.export(
        Large(generator).eval() if large else generator,
        (torch.zeros(2, 3, 4 * multiple, 5 * multiple), *condition),
        path,
        input_names=["picture", *["condition" for _ in condition]],
        output_names=["result"],
        dynamic_shapes=(batch | sides, *[batch for _ in condition]),
        external_data=False,
        verbose=False,
    )


def make_condition_optional(path: Path) -> None:
    """Let an ONNX file do without its `condition`: an initialiser of an input's name is what it is when not given."""
    import onnx

    model = onnx.load(path)
    for given in model.graph.input:
        if given.name == "condition":
            default = np.zeros((1, given.type.tensor_type.shape.dim[1].dim_value), np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(default, "condition"))
    onnx.save(model, path)


def quantise(source: Path, target: Path, pictures: Tensor) -> None:
    """Write an ONNX file whose convolutions compute in 8 bits, with ranges calibrated on pictures (N, 3, H, W).

    See Jacob et al. 2018, https://arxiv.org/abs/1712.05877. The results differ from torch by 0.01 to 0.03 in [-1, 1].
    """
    import nncf
    import onnx

    model = onnx.load(source)
    sizes = {given.name: given.type.tensor_type.shape.dim[1].dim_value for given in model.graph.input}
    condition = {"condition": np.zeros((1, sizes["condition"]), np.float32)} if "condition" in sizes else {}
    data = nncf.Dataset(pictures.split(1), lambda picture: {"picture": picture.numpy()} | condition)
    # Through a Pad the ranges come out wrong: ten times the error. The map from a condition would take longer in 8 bits
    scope = nncf.IgnoredScope(types=["Pad", "Gemm"], validate=False)
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # where its progress bars belong
        model = nncf.quantize(model, data, subset_size=len(pictures), ignored_scope=scope)
    onnx.save(model, target)


def sample(count: int, size: int) -> Tensor:
    """Return random pictures, always the same ones: (count, 3, size, size) in [-1, 1].

    They have large shapes and fine grain, like photos. On flat pictures, InstanceNorm magnifies rounding errors.
    """
    random = torch.Generator().manual_seed(0)
    pictures = torch.zeros(count, 3, size, size)
    for cells in (2**power for power in range(2, size.bit_length() - 1)):  # 4, 8, ... size / 2
        grain = torch.randn(count, 3, cells, cells, generator=random)
        pictures += F.interpolate(grain, (size, size), mode="bicubic") * (3 / cells)
    return pictures.clamp(-1, 1)
