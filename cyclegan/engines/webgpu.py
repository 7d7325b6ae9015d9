"""A generator as an ONNX graph of plain operators, which onnxruntime has for WebGPU and computes there as it should."""

import json
from pathlib import Path

import onnx
from onnx import TensorProto
from torch import Tensor

from ..networks import Generator
from .graph import Change, Graph


class PlainGraph(Graph):
    """Its weights lie in a file of float16, where the graph says, and are computed with in float32."""

    def __init__(self, generator: Generator, weights: Path) -> None:
        self.file = weights.name
        content = weights.read_bytes()
        self.start = 8 + int.from_bytes(content[:8], "little")  # behind safetensors' header
        self.header = json.loads(content[8 : self.start])
        self.parameters = {id(tensor): name for name, tensor in generator.named_parameters()}
        self.places: dict[str, str] = {}
        super().__init__(generator)

    def weight(self, tensor: Tensor) -> str:
        name = self.parameters[id(tensor)]
        if name not in self.places:
            start, end = self.header[name]["data_offsets"]
            place = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=tensor.shape)
            place.data_location = TensorProto.EXTERNAL
            for key, value in {"location": self.file, "offset": self.start + start, "length": end - start}.items():
                place.external_data.add(key=key, value=str(value))
            self.tensors.append(place)
            self.places[name] = self.op("Cast", name, to=TensorProto.FLOAT)
        return self.places[name]

    def norm(self, x: str, channels: int, change: Change) -> str:
        centred = self.op("Sub", x, self.op("ReduceMean", x, self.ints(2, 3)))
        variance = self.op("ReduceMean", self.op("Mul", centred, centred), self.ints(2, 3))
        deviation = self.op("Sqrt", self.op("Add", variance, self.constant(1e-5)))
        return self.change(self.op("Div", centred, deviation), change)

    def pad(self, x: str, around: tuple[int, int, int, int], mode: str = "reflect") -> str:
        if mode != "reflect":
            return super().pad(x, around, mode)
        for axis, before, after in ((2, around[0], around[2]), (3, around[1], around[3])):
            first = [self.cut(x, axis, i, i + 1) for i in range(before, 0, -1)]
            last = [self.cut(x, axis, -i - 1, -i) for i in range(1, after + 1)]
            x = self.op("Concat", *first, x, *last, axis=axis)
        return x


def write_graph(generator: Generator, path: Path, weights: Path, large: bool = False) -> None:
    """Write a generator, in eval mode on the CPU; its inputs are a `picture` and, where it takes one, a `condition`.

    Args:
        weights: its tensors as safetensors in float16, in the same folder. The graph says where in it each one lies.
        large: for large pictures, with an input `half` and a `half_result` before it is joined with the `result`.
    """
    graph = PlainGraph(generator, weights)
    inputs: dict[str, list[int | str]] = {"picture": [1, 3, "height", "width"]}
    results, features = {}, None
    if large:
        inputs["half"] = [1, 3, "half_height", "half_width"]
        half, made = graph.translate("half")
        results["half_result"] = graph.coloured(half)
        features = graph.enlarge(made, mode="linear") if generator.compact else None
    results["result"] = graph.coloured(graph.translate("picture", features)[0])
    onnx.save(graph.model(results, inputs), path)
    onnx.checker.check_model(path)  # with the weights
