"""A generator as an ONNX graph, written layer by layer as `Generator.forward` runs.

Tracing it with `torch.onnx.export` takes 15 s, 25 s for large pictures, nearly all of it for sides that may vary.
"""

from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ..networks import FORMS, ConditionalNorm, Generator, Layer
from .rewrite import DoublingConvolution, FoldedConvolution, PairRows, UnpairRows, Winograd

Change = tuple[str, str] | None  # names of factors and summands, (B, C, 1, 1)
OPSET, IR = 18, 9  # versions of ONNX
PADDING = {"reflect": "reflect", "replicate": "edge", "constant": "constant"}  # torch's names and those of ONNX


class Graph:
    """A method adds operators and returns the name of what they compute.

    Biases before a norm are left out, because the norm takes them away. Operators that are named after the condition
    must not compute in 8 bits.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.names = (f"x{number}" for number in count())
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, bytes], str] = {}
        self.tensors: list[onnx.TensorProto] = []
        self.changes = self._changes()

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = next(self.names)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        array = np.asarray(values, dtype)
        key = (f"{array.dtype}{array.shape}", array.tobytes())
        if key not in self.constants:
            self.constants[key] = f"c{len(self.constants)}"
            self.tensors.append(numpy_helper.from_array(array, self.constants[key]))
        return self.constants[key]

    def weight(self, tensor: Tensor) -> str:
        return self.constant(tensor.detach().numpy())

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def cut(self, x: str, axis: int, start: int, end: int = 2**62, step: int = 1) -> str:
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step))

    def reshape(self, x: str, *sides: int | str) -> str:
        """0 is the side that x has there, and -1 what is left."""
        if all(isinstance(side, int) for side in sides):
            return self.op("Reshape", x, self.ints(*sides))  # type: ignore[arg-type]
        named = (self.ints(side) if isinstance(side, int) else side for side in sides)
        return self.op("Reshape", x, self.op("Concat", *named, axis=0))

    def side(self, x: str, axis: int) -> str:
        return self.op("Shape", x, start=axis, end=axis + 1)

    def _changes(self) -> list[Change]:
        """What the condition makes of each layer's channels."""
        generator = self.generator
        if not generator.conditions:
            return [None] * len(generator.changed)
        weights = self.op("Transpose", self.weight(generator.condition.weight))
        values = self.op("MatMul", "condition", weights, name="condition")
        batch = self.op("Concat", self.side("picture", 0), self.ints(1), axis=0)
        values = self.reshape(self.op("Expand", values, batch), 0, -1, 1, 1)
        changes: list[Change] = []
        at, half = 0, sum(generator.changed)
        for channels in generator.changed:
            factor = self.cut(values, 1, at, at + channels)
            factor = self.op("Add", factor, self.constant(1.0), name=f"condition {factor}")
            changes.append((factor, self.cut(values, 1, half + at, half + at + channels)))
            at += channels
        return changes

    def change(self, x: str, change: Change) -> str:
        if not change:
            return x
        x = self.op("Mul", x, change[0], name=f"condition {x}")
        return self.op("Add", x, change[1], name=f"condition {x}")

    def norm(self, x: str, channels: int, change: Change) -> str:
        if not change:
            return self.op("InstanceNormalization", x, *map(self.constant, (np.ones(channels), np.zeros(channels))))
        together = (self.reshape(one, -1) for one in change)  # see ConditionalNorm
        x = self.op("InstanceNormalization", self.reshape(x, 1, -1, 0, 0), *together)
        return self.reshape(x, -1, channels, 0, 0)

    def pad(self, x: str, around: tuple[int, int, int, int], mode: str = "reflect") -> str:
        """around: as for a convolution: top, left, bottom, right."""
        top, left, bottom, right = around
        return self.op("Pad", x, self.ints(0, 0, top, left, 0, 0, bottom, right), mode=PADDING[mode])

    def convolution(self, x: str, weight: Tensor, bias: Tensor | None = None, **attributes: Any) -> str:
        return self.op("Conv", x, *map(self.weight, (weight,) if bias is None else (weight, bias)), **attributes)

    def enlarge(self, x: str, times: int = 2, **mode: str) -> str:
        return self.op("Resize", x, "", self.constant([1, 1, times, times]), **mode)

    def apply(self, x: str, module: Any, biased: bool = False) -> str:
        """A module that has no change; `biased`: no norm takes its bias away."""
        weights = [module.weight, module.bias][: 1 + biased] if hasattr(module, "weight") else []
        match module:
            case nn.Conv2d():
                around = module.kernel_size[0] // 2
                if module.padding_mode == "reflect":
                    x, around = self.pad(x, (around,) * 4), 0
                return self.convolution(x, *weights, strides=module.stride, pads=[around] * 4)
            case nn.ConvTranspose2d():
                sides = {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}
                return self.op("ConvTranspose", x, *map(self.weight, weights), **sides)
            case DoublingConvolution():
                around = 1  # of zeros is the same as 3 after a pad; from that, OpenVINO makes a smaller picture
                if module.mode != "constant":
                    x, around = self.pad(x, (1, 1, 1, 1), module.mode), 3
                return self.op("ConvTranspose", x, *map(self.weight, weights), strides=[2, 2], pads=[around] * 4)
            case FoldedConvolution():
                x = self.pad(x, (module.weight.shape[-1] // 2 - 1,) * 4, module.mode)
                x = self.convolution(x, *weights, strides=[2, 2])
                return self.op("DepthToSpace", x, blocksize=2, mode="CRD")
            case Winograd():
                return self.winograd(x, module)
            case PairRows():
                return self.op("Concat", *(self.cut(x, 2, first, step=2) for first in (0, 1)), axis=3)
            case UnpairRows():
                pairs = self.reshape(x, 0, 0, 0, 2, -1)
                return self.reshape(pairs, 0, 0, -1, self.side(pairs, 4))
            case nn.Upsample():
                return self.enlarge(
                    x, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
                )
            case nn.Identity():
                return x
        raise TypeError(f"{module} has no ONNX operators here.")

    def winograd(self, x: str, module: Winograd) -> str:
        columns, rows = module.modes
        pairs = self.reshape(x, 0, 0, 0, 2, -1)
        halves = (self.op("Gather", pairs, self.constant(half, np.int64), axis=3) for half in (0, 1))
        even, odd = (self.pad(half, (0, 1, 0, 1), columns) for half in halves)
        above = self.cut(self.pad(odd, (1, 0, 0, 0), rows), 2, 0, -1)
        below = self.cut(self.pad(even, (0, 0, 1, 0), rows), 2, 1)
        first, second, third, fourth = module.weights
        both = self.convolution(self.op("Add", even, odd), second)
        difference = self.convolution(self.op("Sub", odd, even), third)
        upper = self.op("Add", both, difference), self.convolution(self.op("Sub", above, odd), first)
        lower = self.op("Sub", both, difference), self.convolution(self.op("Sub", even, below), fourth)
        return self.op("Concat", self.op("Add", *upper), self.op("Sub", *lower), axis=3)

    def layer(self, x: str, layer: Layer, change: Change) -> str:
        biased = not any(isinstance(module, ConditionalNorm) for module in layer)
        for module in layer:
            if isinstance(module, ConditionalNorm):
                x, change = self.norm(x, module.num_features, change), None
            elif isinstance(module, nn.ReLU):
                x, change = self.op("Relu", self.change(x, change)), None
            else:
                x = self.apply(x, module, biased)
        return x

    def block(self, x: str, block: Any, first: Change, second: Change) -> str:
        inner = self.apply(self.layer(x, block.conv1, first), block.conv2)
        return self.op("Add", x, self.norm(inner, block.norm2.num_features, second))

    def unshuffled(self, x: str) -> str:
        """Squares of pixels become channels, in the order of `F.pixel_unshuffle`."""
        fold = self.generator.fold
        height, width = (self.op("Div", self.side(x, axis), self.ints(fold)) for axis in (2, 3))
        x = self.op("Transpose", self.reshape(x, 0, 3, height, fold, width, fold), perm=(0, 1, 3, 5, 2, 4))
        return self.reshape(x, 0, 3 * fold**2, height, width)

    def translate(self, x: str, features: str | None = None) -> tuple[str, str]:
        """The result, of 1 or 3 channels, and what the residual blocks made, unless it is given."""
        generator, compact, fold = self.generator, self.generator.compact, self.generator.fold
        layers: Any = generator.layers
        inner, (up1, up2) = iter(self.changes[2:-2]), self.changes[-2:]
        stem = self.layer(self.unshuffled(x) if fold > 1 else x, layers["stem"], self.changes[0])
        down = self.layer(stem, layers["down1"], self.changes[1])
        if features is None:
            features = self.layer(down, layers["down2"], next(inner))
            for i in range(generator.blocks):
                features = self.block(features, layers[f"block{i + 1}"], next(inner), next(inner))
        x = self.layer(features, layers["up1"], up1)
        x = self.layer(self.op("Add", x, down) if compact else x, layers["up2"], up2)
        x = self.apply(self.op("Add", x, stem) if compact else x, layers["head"], biased=True)
        if fold > 1:
            x = self.op("DepthToSpace", x, blocksize=fold, mode="CRD")
        return self.op("Tanh", x), features

    def large(self, picture: str) -> str:
        half, features = self.translate(self.mean(picture, 2))
        made, _ = self.translate(picture, self.enlarge(features, mode="linear") if self.generator.compact else None)
        change = self.op("Sub", self.mean(half, FORMS), self.mean(made, 2 * FORMS))
        change = self.enlarge(change, 2 * FORMS, mode="linear")
        return self.op("Clip", self.op("Add", made, change), self.constant(-1.0), self.constant(1.0))

    def mean(self, x: str, side: int) -> str:
        return self.op("AveragePool", x, kernel_shape=[side] * 2, strides=[side] * 2)

    def coloured(self, x: str) -> str:
        return self.op("Concat", x, x, x, axis=1) if self.generator.grey else x

    def model(self, results: dict[str, str], inputs: dict[str, list[int | str]]) -> onnx.ModelProto:
        """The whole graph. results: the name of each output, and what it is; inputs: the sides of each."""
        self.nodes += [helper.make_node("Identity", [made], [name]) for name, made in results.items()]
        if self.generator.conditions:
            inputs = inputs | {"condition": [inputs["picture"][0], self.generator.conditions]}
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in inputs.items()]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3, None, None]) for name in results]
        graph = helper.make_graph(self.nodes, "generator", given, made, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
