"""A generator as an ONNX graph of plain operators, which onnxruntime has for WebGPU and computes there as it should."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Change = tuple[str, str] | None


class Graph:
    """Layer by layer, as `Generator.forward`. A method adds operators and returns the name of what they compute.

    Biases before a norm are left out, because the norm takes them away.
    """

    def __init__(self, generator: Any, weights: Path) -> None:
        self.generator, self.file = generator, weights
        content = weights.read_bytes()
        self.start = 8 + int.from_bytes(content[:8], "little")  # behind safetensors' header
        self.header = json.loads(content[8 : self.start])
        self.parameters = {id(tensor): name for name, tensor in generator.named_parameters()}
        self.layers: Any = generator.layers
        self.names = (f"x{number}" for number in count())
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, bytes], str] = {}
        self.tensors: list[onnx.TensorProto] = []
        self.places: dict[str, onnx.TensorProto] = {}
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

    def weight(self, tensor: Any) -> str:
        """A tensor of the network, which the file of the weights has in float16."""
        name = self.parameters[id(tensor)]
        if name not in self.places:
            start, end = self.header[name]["data_offsets"]
            place = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=tensor.shape)
            place.data_location = TensorProto.EXTERNAL
            for key, value in {"location": self.file.name, "offset": self.start + start, "length": end - start}.items():
                place.external_data.add(key=key, value=str(value))
            self.places[name] = place
        return self.op("Cast", name, to=TensorProto.FLOAT)

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def cut(self, x: str, axis: int, start: int, end: int = 2**62) -> str:
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis))

    def _changes(self) -> list[Change]:
        """What the condition makes of each layer's channels: factors and summands, (1, C, 1, 1)."""
        g = self.generator
        if not g.conditions:
            return [None] * len(g.changed)
        values = self.op("MatMul", "condition", self.op("Transpose", self.weight(g.condition.weight)))
        values = self.op("Reshape", values, self.ints(1, -1, 1, 1))
        changes: list[Change] = []
        at, half = 0, sum(g.changed)
        for channels in g.changed:
            factor = self.op("Add", self.cut(values, 1, at, at + channels), self.constant(1.0))
            changes.append((factor, self.cut(values, 1, half + at, half + at + channels)))
            at += channels
        return changes

    def change(self, x: str, change: Change) -> str:
        return self.op("Add", self.op("Mul", x, change[0]), change[1]) if change else x

    def norm(self, x: str, change: Change) -> str:
        centred = self.op("Sub", x, self.op("ReduceMean", x, self.ints(2, 3)))
        variance = self.op("ReduceMean", self.op("Mul", centred, centred), self.ints(2, 3))
        deviation = self.op("Sqrt", self.op("Add", variance, self.constant(1e-5)))
        return self.change(self.op("Div", centred, deviation), change)

    def pad(self, x: str, around: int) -> str:
        if self.generator.padding == "zero":
            return self.op("Pad", x, self.ints(0, 0, around, around, 0, 0, around, around))
        for axis in (2, 3):
            before = [self.cut(x, axis, i, i + 1) for i in range(around, 0, -1)]
            after = [self.cut(x, axis, -i - 1, -i) for i in range(1, around + 1)]
            x = self.op("Concat", *before, x, *after, axis=axis)
        return x

    def convolution(self, x: str, layer: Any, bias: bool = False, **attributes: Any) -> str:
        inputs = [self.weight(layer.weight), *[self.constant(layer.bias.detach().numpy())] * bias]
        return self.op("Conv", x, *inputs, **attributes)

    def outer(self, x: str, layer: Any, bias: bool = False) -> str:
        return self.convolution(self.pad(x, layer.padding[0]), layer, bias)

    def down(self, x: str, name: str, change: Change) -> str:
        x = self.convolution(x, self.layers[name][0], strides=[2, 2], pads=[1, 1, 1, 1])
        return self.op("Relu", self.norm(x, change))

    def double(self, x: str, **mode: str) -> str:
        return self.op("Resize", x, "", self.constant([1, 1, 2, 2]), **mode)

    def up(self, x: str, name: str, change: Change) -> str:
        if self.generator.upsample == "transpose":
            sides = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
            x = self.op("ConvTranspose", x, self.weight(self.layers[name][0].weight), **sides)
        else:
            nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
            x = self.outer(self.double(x, **nearest), self.layers[name][1])
        return self.op("Relu", self.norm(x, change))

    def block(self, x: str, name: str, first: Change, second: Change) -> str:
        layer = self.layers[name]
        inner = self.op("Relu", self.norm(self.outer(x, layer.conv1[0]), first))
        return self.op("Add", x, self.norm(self.outer(inner, layer.conv2), second))

    def folded(self, x: str, channels: int, back: bool = False) -> str:
        """Squares of pixels become channels, or these become squares again."""
        fold = self.generator.fold
        shape = self.op("Shape", x)
        small = (self.cut(shape, 0, axis, axis + 1) for axis in (2, 3))
        if not back:
            small = (self.op("Div", side, self.ints(fold)) for side in small)
        height, width = small
        apart: list[int | str] = (
            [channels, fold, fold, height, width] if back else [channels, height, fold, width, fold]
        )
        order = (0, 3, 1, 4, 2) if back else (0, 2, 4, 1, 3)
        x = self.op("Transpose", self.op("Reshape", x, self.sides(*apart)), perm=order)
        double = [self.op("Mul", side, self.ints(fold)) for side in (height, width)]
        together: list[int | str] = [1, channels, *double] if back else [1, channels * fold**2, height, width]
        return self.op("Reshape", x, self.sides(*together))

    def sides(self, *sides: int | str) -> str:
        return self.op("Concat", *(self.ints(side) if isinstance(side, int) else side for side in sides), axis=0)

    def translate(self, picture: str, features: str | None = None) -> tuple[str, str]:
        """The result, and what the residual blocks made, unless it is given."""
        generator, compact = self.generator, self.generator.compact
        x = self.folded(picture, 3) if generator.fold > 1 else picture
        inner, (up1, up2) = iter(self.changes[2:-2]), self.changes[-2:]
        stem = self.outer(x, self.layers["stem"][0], compact)
        stem = self.op("Relu", self.change(stem, self.changes[0]) if compact else self.norm(stem, self.changes[0]))
        down = self.down(stem, "down1", self.changes[1])
        if features is None:
            features = self.down(down, "down2", next(inner))
            for number in range(generator.blocks):
                features = self.block(features, f"block{number + 1}", next(inner), next(inner))
        x = self.up(features, "up1", up1)
        x = self.up(self.op("Add", x, down) if compact else x, "up2", up2)
        x = self.outer(self.op("Add", x, stem) if compact else x, self.layers["head"], bias=True)
        channels = 1 if generator.grey else 3
        x = self.op("Tanh", self.folded(x, channels, back=True) if generator.fold > 1 else x)
        return self.op("Concat", *[x] * (3 // channels), axis=1), features


def write_graph(generator: Any, path: Path, weights: Path, large: bool = False) -> None:
    """Write a generator, in eval mode on the CPU; its inputs are a `picture` and, where it takes one, a `condition`.

    Args:
        weights: its tensors as safetensors in float16, in the same folder. The graph says where in it each one lies.
        large: for large pictures, with an input `half` and a `half_result` before it is joined with the `result`.
    """
    graph = Graph(generator, weights)
    results, features = {}, None
    for picture, result in (("half", "half_result"), ("picture", "result"))[0 if large else 1 :]:
        results[result], made = graph.translate(picture, features)
        features = graph.double(made, mode="linear") if large and generator.compact else None
    graph.nodes += [helper.make_node("Identity", [made], [name]) for name, made in results.items()]
    shapes: dict[str, list[Any]] = {"picture": [1, 3, "height", "width"]}
    if large:
        shapes["half"] = [1, 3, "half_height", "half_width"]
    if generator.conditions:
        shapes["condition"] = [1, generator.conditions]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, None, None]) for name in results]
    whole = helper.make_graph(graph.nodes, "network", inputs, outputs, [*graph.tensors, *graph.places.values()])
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    onnx.checker.check_model(path)
