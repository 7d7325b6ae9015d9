"""Write generators as ONNX files, also in 8 bits."""

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks import Generator


def to_onnx(generator: Generator, path: Path, large: bool = False) -> None:
    """Write a generator as ONNX: `picture` (batch, 3, height, width) -> `result`, of any batch, height and width.

    One with conditions also takes `condition`, (batch, conditions) or (1, conditions); zeros are none.

    Args:
        generator: on the CPU, in float32 and in evaluation mode, perhaps rewritten.
        large: as for the generator.
    """
    from .graph import Graph  # which needs the package onnx

    graph = Graph(generator)
    made = graph.large("picture") if large else graph.translate("picture")[0]
    graph.save(path, {"result": graph.coloured(made)}, {"picture": ["batch", 3, "height", "width"]})


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
    # Through a Pad, ranges come out wrong: ten times the error. And a condition has none while it is not given
    scope = nncf.IgnoredScope(types=["Pad"], patterns=["condition.*"], validate=False)
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
