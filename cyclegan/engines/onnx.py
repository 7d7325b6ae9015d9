"""Generators as ONNX files, and in 8 bits."""

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks import Generator


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
