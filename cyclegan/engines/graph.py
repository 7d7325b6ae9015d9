"""An ONNX graph, written operator by operator."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ..faces import SEARCHED


class Graph:
    """Operators in the order of their making. A method returns the name of what it computes."""

    def __init__(self) -> None:
        self.names = (f"x{number}" for number in count())
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, bytes], str] = {}
        self.tensors: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = next(self.names)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def choose(self, condition: str, first: Callable[[], str], second: Callable[[], str]) -> str:
        """What `first` computes where the condition holds, else what `second` does: (1, ...), of four dimensions."""
        branches = []
        for compute in (first, second):
            outer, self.nodes = self.nodes, []
            made = helper.make_tensor_value_info(compute(), TensorProto.FLOAT, [None] * 4)
            branches.append(helper.make_graph(self.nodes, f"branch{len(outer)}", [], [made]))
            self.nodes = outer
        return self.op("If", condition, then_branch=branches[0], else_branch=branches[1])

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

    def save(self, result: str, inputs: dict[str, list[Any]], output: list[Any], path: Path) -> None:
        self.nodes.append(helper.make_node("Identity", [result], ["result"]))
        given, made = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
            for shapes in (inputs, {"result": output})
        )
        whole = helper.make_graph(self.nodes, "network", given, made, self.tensors)
        model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)


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
    graph.save(result, {"picture": [1, 1, SEARCHED, SEARCHED]}, [1, 6, "rows", "columns"], path)
