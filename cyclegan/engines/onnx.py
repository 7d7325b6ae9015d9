"""Generators as ONNX models, also in 8 bits."""

import logging
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks import Generator

if TYPE_CHECKING:
    import onnx


def to_onnx(generator: Generator, large: bool = False) -> "onnx.ModelProto":
    """Return a generator as ONNX: `picture` (batch, 3, height, width) -> `result`, of any batch, height and width.

    One with conditions also takes `condition`, (batch, conditions) or (1, conditions); zeros are none.

    Args:
        generator: on the CPU, in float32 and in evaluation mode, perhaps rewritten.
        large: as for the generator.
    """
    from .graph import Graph  # which needs the package onnx

    graph = Graph(generator)
    made = graph.large("picture") if large else graph.translate("picture")[0]
    return graph.model({"result": graph.coloured(made)}, {"picture": ["batch", 3, "height", "width"]})


def no_condition(model: "onnx.ModelProto") -> dict[str, np.ndarray]:
    """The condition that is none, if the model takes one."""
    sizes = {given.name: given.type.tensor_type.shape.dim[1].dim_value for given in model.graph.input}
    return {"condition": np.zeros((1, sizes["condition"]), np.float32)} if "condition" in sizes else {}


def quantise(model: "onnx.ModelProto", pictures: Tensor) -> "onnx.ModelProto":
    """Return a model whose convolutions compute in 8 bits, with ranges calibrated on pictures (N, 3, H, W).

    See Jacob et al. 2018, https://arxiv.org/abs/1712.05877. The results differ from torch by 0.01 to 0.03 in [-1, 1].
    """
    import nncf

    condition = no_condition(model)
    data = nncf.Dataset(pictures.split(1), lambda picture: {"picture": picture.numpy()} | condition)
    # Through a Pad, ranges come out wrong: ten times the error. And a condition has none while it is not given
    scope = nncf.IgnoredScope(types=["Pad"], patterns=["condition.*"], validate=False)
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # where its progress bars belong
        return nncf.quantize(model, data, subset_size=len(pictures), ignored_scope=scope)


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
