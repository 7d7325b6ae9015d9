"""A generator as an ONNX graph made for onnxruntime's WebAssembly, which multiplies matrices well and little else."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ..faces import SEARCHED

# Winograd's F(4 x 4, 3 x 3), Lavin & Gray 2015, https://arxiv.org/abs/1509.09308, equation 15
TILE = 4
GATHER = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
          [0, 4, 0, -5, 0, 1]]  # fmt: skip
WEIGH = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
         [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]  # fmt: skip
SPREAD = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


class Graph:
    """Operators in the order of their making. A method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, bytes], str] = {}
        self.tensors: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        array = np.asarray(values, dtype)
        key = (f"{array.dtype}{array.shape}", array.tobytes())
        if key not in self.constants:
            self.constants[key] = f"c{len(self.constants)}"
            self.tensors.append(numpy_helper.from_array(array, self.constants[key]))
        return self.constants[key]

    def weight(self, tensor: Any) -> str:
        """A tensor of the network, stored in float16: half the file, and nothing that shows."""
        return self.op("Cast", self.constant(tensor.detach().numpy(), np.float16), to=TensorProto.FLOAT)

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def reshape(self, x: str, *sides: int) -> str:
        return self.op("Reshape", x, self.ints(*sides))

    def transpose(self, x: str, *axes: int) -> str:
        return self.op("Transpose", x, perm=axes)

    def cut(self, x: str, axis: int, start: int, end: int = 2**62) -> str:
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis))

    def concat(self, axis: int, *parts: str) -> str:
        return self.op("Concat", *parts, axis=axis)

    def shape(self, *sides: int | str) -> str:
        return self.concat(0, *(self.ints(side) if isinstance(side, int) else side for side in sides))

    def sandwich(self, matrix: Any, weight: str) -> str:
        """(O, I, 3, 3) -> (O, I, n, n): the matrix (n, 3) from both sides."""
        left = self.op("MatMul", self.constant(matrix), weight)
        return self.op("MatMul", left, self.constant(np.asarray(matrix, np.float32).T))


class Writer(Graph):
    """Layer by layer, as `Generator.forward`. Biases before a norm are left out: the norm takes them away."""

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator
        self.layers: Any = generator.layers
        self.reflect = generator.padding == "reflect"
        self.changes = self._changes()

    def _changes(self) -> Iterator[tuple[str, str] | None]:
        """What the condition makes of each layer's channels: factors and summands, (1, C)."""
        g = self.generator
        if not getattr(g, "conditions", 0):
            yield from repeat(None)
        values = self.op("MatMul", "condition", self.op("Transpose", self.weight(g.condition.weight)))
        at, half = 0, sum(g.changed)
        for channels in g.changed:
            factor = self.op("Add", self.cut(values, 1, at, at + channels), self.constant(1.0))
            yield factor, self.cut(values, 1, half + at, half + at + channels)
            at += channels

    def change(self, x: str, *sides: int) -> str:
        """sides: the shape in which (1, C) fits the channels of x."""
        if change := next(self.changes):
            factor, summand = (self.reshape(one, *sides) for one in change)
            x = self.op("Add", self.op("Mul", x, factor), summand)
        return x

    def relu(self, x: str) -> str:
        return self.op("Max", x, self.constant(0.0))  # twice as fast as Relu

    def norm(self, x: str, *axes: int) -> str:
        """Instance norm over some axes; the runtime's own has one thread."""
        centred = self.op("Sub", x, self.op("ReduceMean", x, self.ints(*axes)))
        variance = self.op("ReduceMean", self.op("Mul", centred, centred), self.ints(*axes))
        deviation = self.op("Sqrt", self.op("Add", variance, self.constant(1e-5)))
        return self.op("Mul", centred, self.op("Reciprocal", deviation))

    def pad(self, x: str, around: int) -> str:
        """Rows and columns around (1, C, H, W), of slices: the runtime's own reflection is slow."""
        if not self.reflect:
            return self.op("Pad", x, self.ints(0, 0, around, around, 0, 0, around, around))
        for axis in (2, 3):
            before = [self.cut(x, axis, i, i + 1) for i in range(around, 0, -1)]
            after = [self.cut(x, axis, -i - 1, -i) for i in range(1, around + 1)]
            x = self.concat(axis, *before, x, *after)
        return x

    def edge(self, x: str) -> str:
        """Beyond the picture: the pixel that reflection puts there, or zero."""
        return x if self.reflect else self.op("Mul", x, self.constant(0.0))

    def convolution(self, x: str, layer: Any, bias: bool, weight: Any = None, **attributes: Any) -> str:
        weight = self.weight(layer.weight if weight is None else weight)
        return self.op("Conv", x, weight, *[self.constant(layer.bias.detach().numpy())] * bias, **attributes)

    def outer(self, x: str, layer: Any, bias: bool) -> str:
        return self.convolution(self.pad(x, layer.padding[0]), layer, bias)

    def down(self, x: str, name: str) -> str:
        x = self.convolution(x, self.layers[name][0], False, strides=[2, 2], pads=[1, 1, 1, 1])
        return self.relu(self.change(self.norm(x, 2, 3), 1, -1, 1, 1))

    def up(self, x: str, name: str) -> str:
        if self.generator.upsample == "transpose":
            layer = self.layers[name][0]
            x = self.op(
                "ConvTranspose", x, self.weight(layer.weight), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
            )
            return self.relu(self.change(self.norm(x, 2, 3), 1, -1, 1, 1))
        # Of a doubled row, w0 a + w1 b + w1 b... two results need three products, not six: with s = w0 + w1 + w2 they
        # are s x[i] + w0 (x[i - 1] - x[i]) and s x[i] + w2 (x[i + 1] - x[i]). Here the products come first.
        weight = self.layers[name][1].weight
        out, channels = weight.shape[:2]
        products = self.transpose(self.sandwich([[1, 0, 0], [1, 1, 1], [0, 0, 1]], self.weight(weight)), 2, 3, 0, 1)
        flat = self.op("MatMul", self.reshape(products, 9 * out, channels), self.reshape(x, channels, -1))
        height, width = self.sides(x)
        planes = self.op("Reshape", flat, self.shape(3, 3, out, height, width))
        for axis in (0, 1):
            along = axis + 3
            first, middle, last = (self.cut(planes, axis, i, i + 1) for i in range(3))
            before = self.concat(along, self.edge(self.cut(first, along, 0, 1)), self.cut(first, along, 0, -1))
            after = self.concat(along, self.cut(last, along, 1), self.edge(self.cut(last, along, -1)))
            upper = self.op("Add", middle, self.op("Sub", before, first))
            lower = self.op("Add", middle, self.op("Sub", after, last))
            planes = self.concat(axis, upper, lower)
        planes = self.relu(self.change(self.norm(planes, 0, 1, 3, 4), 1, 1, -1, 1, 1))
        together = self.transpose(planes, 2, 3, 0, 4, 1)  # (out, h, 2, w, 2)
        double = self.op("Mul", self.shape(height, width), self.ints(2))
        return self.op("Reshape", together, self.shape(1, out, double))

    def sides(self, x: str) -> tuple[str, str]:
        shape = self.op("Shape", x)
        return self.cut(shape, 0, 2, 3), self.cut(shape, 0, 3, 4)

    def blocks(self, x: str) -> str:
        """The residual blocks by Winograd's products.

        Between them the picture stays cut into planes, (4, 4, h/4, w/4, C): the tiles' first rows and columns, their
        second ones... So what a tile takes from its neighbours are a few slices, and nothing else is moved.
        """
        channels = 4 * self.generator.width
        height, width = (self.op("Div", side, self.ints(TILE)) for side in self.sides(x))
        self.tiles = [height, width, channels]
        x = self.op("Reshape", x, self.shape(channels, height, TILE, width, TILE))
        x = self.reshape(self.transpose(x, 2, 4, 1, 3, 0), -1, channels)
        for number in range(self.generator.blocks):
            block = self.layers[f"block{number + 1}"]
            inner = self.relu(self.change(self.norm(self.winograd(x, block.conv1[0].weight), 0), 1, -1))
            x = self.op("Add", x, self.change(self.norm(self.winograd(inner, block.conv2.weight), 0), 1, -1))
        x = self.transpose(self.op("Reshape", x, self.shape(TILE, TILE, *self.tiles)), 4, 2, 0, 3, 1)
        whole = self.op("Mul", self.shape(height, width), self.ints(TILE))
        return self.op("Reshape", x, self.shape(1, channels, whole))

    def winograd(self, x: str, weight: Any) -> str:
        channels, t, gathered = weight.shape[0], TILE, TILE + 2
        gather, spread = self.constant(GATHER), self.constant(SPREAD)
        x = self.op("Reshape", x, self.shape(t, t, *self.tiles))
        x = self.halo(x, 0, 2)
        x = self.op("MatMul", gather, self.reshape(x, gathered, -1))
        x = self.op("Reshape", x, self.shape(gathered, t, *self.tiles))
        x = self.op("MatMul", gather, self.reshape(self.halo(x, 1, 3), gathered, gathered, -1))
        products = self.transpose(self.sandwich(WEIGH, self.weight(weight)), 2, 3, 1, 0)
        products = self.reshape(products, gathered**2, channels, channels)
        x = self.op("MatMul", self.reshape(x, gathered**2, -1, channels), products)
        x = self.op("MatMul", spread, self.reshape(x, gathered, gathered, -1))
        x = self.op("MatMul", spread, self.reshape(x, gathered, -1))
        return self.reshape(x, -1, channels)

    def halo(self, x: str, axis: int, along: int) -> str:
        """Join to the planes those before the first and behind the last, which belong to the next tiles."""
        plane = lambda i: self.cut(x, axis, i, i + 1)  # noqa: E731
        before = self.concat(along, self.edge(self.cut(plane(1), along, 0, 1)), self.cut(plane(TILE - 1), along, 0, -1))
        after = self.concat(along, self.cut(plane(0), along, 1), self.edge(self.cut(plane(TILE - 2), along, -1)))
        return self.concat(axis, before, x, after)

    def write(self) -> str:
        generator, fold = self.generator, self.generator.fold
        x = "picture"
        stem_layer = self.layers["stem"][0]
        if fold > 1:
            height, width = (self.op("Div", side, self.ints(fold)) for side in self.sides(x))
            x = self.transpose(self.op("Reshape", x, self.shape(3, height, fold, width, fold)), 0, 2, 4, 1, 3)
            x = self.op("Reshape", x, self.shape(1, 3 * fold**2, height, width))
        stem = self.outer(x, stem_layer, generator.compact)
        stem = stem if generator.compact else self.norm(stem, 2, 3)
        stem = self.relu(self.change(stem, 1, -1, 1, 1))
        down = self.down(stem, "down1")
        x = self.up(self.blocks(self.down(down, "down2")), "up1")
        x = self.up(self.op("Add", x, down) if generator.compact else x, "up2")
        x = self.outer(self.op("Add", x, stem) if generator.compact else x, self.layers["head"], True)
        if fold > 1:
            channels = 1 if generator.grey else 3
            x = self.transpose(self.op("Reshape", x, self.shape(channels, fold, fold, height, width)), 0, 3, 1, 4, 2)
            whole = self.op("Mul", self.shape(height, width), self.ints(fold))
            x = self.op("Reshape", x, self.shape(1, channels, whole))
        x = self.op("Tanh", x)
        return self.concat(1, *[x] * (3 if generator.grey else 1))


def write_graph(generator: Any, path: Path) -> None:
    writer = Writer(generator)
    inputs = {"picture": [1, 3, "height", "width"]}
    if count := getattr(generator, "conditions", 0):
        inputs["condition"] = [1, count]
    _save(writer, writer.write(), inputs, [1, 3, "height", "width"], path)


def write_finder(finder: Any, path: Path) -> None:
    """Layer by layer, as `FaceFinder.forward`, for one `picture` of the side that is searched."""
    graph = Graph()

    def run(x: str, layer: Any) -> str:
        match layer:
            case nn.Sequential():
                for part in layer:
                    x = run(x, part)
            case nn.Conv2d():
                bias = [] if layer.bias is None else [graph.weight(layer.bias)]
                pads = [*layer.padding, *layer.padding]
                x = graph.op("Conv", x, graph.weight(layer.weight), *bias, strides=layer.stride, pads=pads)
            case nn.BatchNorm2d():
                values = layer.weight, layer.bias, layer.running_mean, layer.running_var
                x = graph.op("BatchNormalization", x, *map(graph.weight, values), epsilon=layer.eps)
            case nn.ReLU():
                x = graph.op("Relu", x)
        return x

    def double(x: str) -> str:
        nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return graph.op("Resize", x, "", graph.constant([1, 1, 2, 2]), **nearest)

    eighth = run("picture", finder.eighth)
    sixteenth = run(eighth, finder.sixteenth)
    sixteenth = run(graph.op("Add", sixteenth, double(run(sixteenth, finder.down))), finder.up)
    result = run(graph.op("Add", eighth, run(double(sixteenth), finder.lateral)), finder.head)
    _save(graph, result, {"picture": [1, 1, SEARCHED, SEARCHED]}, [1, 6, "rows", "columns"], path)


def _save(graph: Graph, result: str, inputs: dict[str, list[Any]], output: list[Any], path: Path) -> None:
    graph.nodes.append(helper.make_node("Identity", [result], ["result"]))
    given, made = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        for shapes in (inputs, {"result": output})
    )
    whole = helper.make_graph(graph.nodes, "network", given, made, graph.tensors)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
