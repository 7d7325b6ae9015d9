"""A generator as an ONNX graph made for onnxruntime's WebAssembly, which multiplies matrices well and little else."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from .graph import Graph

# Winograd's F(4 x 4, 3 x 3), Lavin & Gray 2015, https://arxiv.org/abs/1509.09308, equation 15
TILE = 4
GATHER = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
          [0, 4, 0, -5, 0, 1]]  # fmt: skip
WEIGH = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
         [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]  # fmt: skip
SPREAD = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


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

    def change(self, x: str, change: tuple[str, str] | None, *sides: int) -> str:
        """sides: the shape in which (1, C) fits the channels of x."""
        if change:
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
        return self.relu(self.change(self.norm(x, 2, 3), next(self.changes), 1, -1, 1, 1))

    def up(self, x: str, name: str) -> str:
        if self.generator.upsample == "transpose":
            layer = self.layers[name][0]
            x = self.op(
                "ConvTranspose", x, self.weight(layer.weight), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
            )
            return self.relu(self.change(self.norm(x, 2, 3), next(self.changes), 1, -1, 1, 1))
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
        planes = self.relu(self.change(self.norm(planes, 0, 1, 3, 4), next(self.changes), 1, 1, -1, 1, 1))
        together = self.transpose(planes, 2, 3, 0, 4, 1)  # (out, h, 2, w, 2)
        double = self.op("Mul", self.shape(height, width), self.ints(2))
        return self.op("Reshape", together, self.shape(1, out, double))

    def sides(self, x: str) -> tuple[str, str]:
        shape = self.op("Shape", x)
        return self.cut(shape, 0, 2, 3), self.cut(shape, 0, 3, 4)

    def blocks(self, x: str) -> str:
        """The residual blocks: by Winograd's products where the picture is whole tiles, else as they are."""
        layers = [self.layers[f"block{number + 1}"] for number in range(self.generator.blocks)]
        changes = [(layer, next(self.changes), next(self.changes)) for layer in layers]
        rest = self.op("ReduceMax", self.op("Mod", self.shape(*self.sides(x)), self.ints(TILE)), keepdims=0)
        whole = self.op("Equal", rest, self.constant(0, np.int64))
        return self.choose(whole, lambda: self.tiled(x, changes), lambda: self.plain(x, changes))

    def plain(self, x: str, blocks: list[Any]) -> str:
        for layer, first, second in blocks:
            inner = self.norm(self.convolution(self.pad(x, 1), layer.conv1[0], False), 2, 3)
            inner = self.relu(self.change(inner, first, 1, -1, 1, 1))
            last = self.norm(self.convolution(self.pad(inner, 1), layer.conv2, False), 2, 3)
            x = self.op("Add", x, self.change(last, second, 1, -1, 1, 1))
        return x

    def tiled(self, x: str, blocks: list[Any]) -> str:
        """Between the blocks the picture stays cut into planes, (4, 4, h/4, w/4, C): the tiles' first rows and columns,
        their second ones... So what a tile takes from its neighbours are a few slices, and nothing else is moved.
        """
        channels = 4 * self.generator.width
        height, width = (self.op("Div", side, self.ints(TILE)) for side in self.sides(x))
        self.tiles = [height, width, channels]
        x = self.op("Reshape", x, self.shape(channels, height, TILE, width, TILE))
        x = self.reshape(self.transpose(x, 2, 4, 1, 3, 0), -1, channels)
        for layer, first, second in blocks:
            inner = self.norm(self.winograd(x, layer.conv1[0].weight), 0)
            last = self.norm(self.winograd(self.relu(self.change(inner, first, 1, -1)), layer.conv2.weight), 0)
            x = self.op("Add", x, self.change(last, second, 1, -1))
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
        stem = self.relu(self.change(stem, next(self.changes), 1, -1, 1, 1))
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
    writer.save(writer.write(), inputs, [1, 3, "height", "width"], path)
