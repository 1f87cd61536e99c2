"""Translates a TensorFlow.js graph model into ONNX, operation by operation, without TensorFlow.

Knows the operations of one-stage pose and box detectors of the MobileNet family. Weights that are
published in 16 bits stay so in the file and are widened when it is loaded.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
#: TensorFlow's arrays are height, width, channels; ONNX convolves channels, height, width.
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
#: A slice's end that means "to the last one".
OPEN_END = 2**31 - 1
#: Operations that differ in name only. All integers are 64-bit here, of which ONNX asks in most places.
SAME = {
    "Abs": "Abs",
    "AddN": "Sum",
    "AddV2": "Add",
    "Equal": "Equal",
    "Exp": "Exp",
    "FloorDiv": "Div",  # of indices, which are not negative
    "GatherNd": "GatherND",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
    "Identity": "Identity",
    "Less": "Less",
    "LogicalAnd": "And",
    "Maximum": "Max",
    "Minimum": "Min",
    "Mul": "Mul",
    "Range": "Range",
    "RealDiv": "Div",
    "Reciprocal": "Reciprocal",
    "Reshape": "Reshape",
    "Select": "Where",
    "Shape": "Shape",
    "Sigmoid": "Sigmoid",
    "Size": "Size",
    "Sub": "Sub",
    "Tile": "Tile",
}


class Graph:
    """The ONNX graph as it grows.

    Args:
        topology: ``modelTopology`` of the graph model.
        weights: its constants by name.
    """

    def __init__(self, topology: dict[str, Any], weights: dict[str, NDArray[Any]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._stored: set[str] = set()
        for node in topology["node"]:
            self._translate(node)

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Append one operation; returns the name of its (first) output."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, name: str | None = None) -> str:
        """Name of a constant; 16-bit numbers are widened where they are used."""
        array = np.asarray(values)
        name = name or f"c{len(self.initializers)}"
        if name in self._stored:
            return name
        self._stored.add(name)
        if array.dtype != np.float16:
            self.initializers.append(numpy_helper.from_array(array, name))
            return name
        self.initializers.append(numpy_helper.from_array(array, name + "/half"))
        return self.add("Cast", [name + "/half"], name, to=TensorProto.FLOAT)

    def value(self, name: str) -> NDArray[Any]:
        """Values of a constant input.

        Raises:
            ValueError: it is computed, which this translation does not expect.
        """
        if name not in self.weights:
            raise ValueError(f"{name} is not a constant")
        return self.weights[name]

    def _translate(self, node: dict[str, Any]) -> None:
        kind, name, attributes = node["op"], node["name"], node.get("attr", {})
        if kind in ("Const", "Placeholder"):
            return
        inputs = [i.removesuffix(":0") for i in node["input"]]
        if kind in SAME:
            self.add(SAME[kind], [self._use(i) for i in inputs], name)
        elif kind in OPERATIONS:
            OPERATIONS[kind](self, name, inputs, attributes)
        else:
            raise ValueError(f"operation {kind} ({name}) is not known to this script")

    def _use(self, name: str) -> str:
        return self.constant(self.weights[name], name) if name in self.weights else name

    def convolution(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """A convolution, dense or of each channel apart, and what is fused with it."""
        kernel = self.value(inputs[1])  # [h, w, in, out], or [h, w, in, multiplier] of each channel apart
        single = attributes["_kind"] == "depthwise"
        groups = kernel.shape[2] if single else 1
        kernel = kernel.transpose(2, 3, 0, 1) if single else kernel.transpose(3, 2, 0, 1)
        if single:
            kernel = kernel.reshape(-1, 1, *kernel.shape[2:])
        padding, strides = _text(attributes["padding"]), _integers(attributes["strides"])[1:3]
        x = self.add("Transpose", [self._use(inputs[0])], perm=TO_NCHW)
        parts = [x, self.constant(np.ascontiguousarray(kernel), inputs[1] + "/oihw")]
        fused = [base64.b64decode(s).decode() for s in attributes.get("fused_ops", _NO_OPS)["list"]["s"]]
        parts += [self._use(inputs[2])] if "BiasAdd" in fused else []
        pad = "SAME_UPPER" if padding == "SAME" else "VALID"
        y = self.add("Conv", parts, auto_pad=pad, strides=strides, group=groups)
        if "Relu6" in fused:
            y = self.add("Clip", [y, self.constant(np.float32(0)), self.constant(np.float32(6))])
        elif "Relu" in fused:
            y = self.add("Relu", [y])
        self.add("Transpose", [y], name, perm=TO_NHWC)

    def pool(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """The largest value of each neighbourhood."""
        x = self.add("Transpose", [self._use(inputs[0])], perm=TO_NCHW)
        size, strides = (_integers(attributes[k])[1:3] for k in ("ksize", "strides"))
        y = self.add("MaxPool", [x], kernel_shape=size, strides=strides, auto_pad="SAME_UPPER")
        self.add("Transpose", [y], name, perm=TO_NHWC)

    def resize(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Bilinear interpolation to a size that is given or computed."""
        if attributes["align_corners"]["b"] or not attributes["half_pixel_centers"]["b"]:
            raise ValueError(f"{name}: only half pixel centres are known to this script")
        x = self.add("Transpose", [self._use(inputs[0])], perm=TO_NCHW)
        shape = self.add("Shape", [x], start=0, end=2)
        size = self.add("Concat", [shape, self._use(inputs[1])], axis=0)
        y = self.add("Resize", [x, "", "", size], mode="linear", coordinate_transformation_mode="half_pixel")
        self.add("Transpose", [y], name, perm=TO_NHWC)

    def slice(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """NumPy's indexing with begin, end, new and dropped axes."""
        begin, end, step = (self.value(i).tolist() for i in inputs[1:])
        masks = {k: int(attributes[k]["i"]) for k in attributes if k.endswith("_mask")}
        axis, axes, starts, ends, steps, new, dropped = 0, [], [], [], [], [], []
        for i in range(len(begin)):
            if masks["new_axis_mask"] >> i & 1:
                new.append(i)
                continue
            first = 0 if masks["begin_mask"] >> i & 1 else begin[i]
            last = OPEN_END if masks["end_mask"] >> i & 1 else end[i]
            if masks["shrink_axis_mask"] >> i & 1:
                dropped.append(axis)
                last = first + 1 or OPEN_END
            if (first, last, step[i]) != (0, OPEN_END, 1):
                axes, starts, ends, steps = [*axes, axis], [*starts, first], [*ends, last], [*steps, step[i]]
            axis += 1
        if new and dropped:
            raise ValueError(f"{name}: adds and drops axes at once")
        x = self._use(inputs[0])
        if axes:
            x = self.add(
                "Slice", [x, *(self.constant(np.array(v, np.int64)) for v in (starts, ends, axes, steps))]
            )
        for kind, which in (("Unsqueeze", new), ("Squeeze", dropped)):
            x = self.add(kind, [x, self.constant(np.array(which, np.int64))]) if which else x
        self.add("Identity", [x], name)

    def cast(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """To 32-bit floating point, the only cast there is."""
        if attributes["DstT"]["type"] != "DT_FLOAT":
            raise ValueError(f"{name}: only casts to float are known to this script")
        self.add("Cast", [self._use(inputs[0])], name, to=TensorProto.FLOAT)

    def axis_operation(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """What works along one constant axis."""
        kind = attributes["_kind"]
        if kind == "Squeeze":
            axes = np.array(_integers(attributes["squeeze_dims"]), np.int64)
        else:
            axes = self.value(inputs[-1]).reshape(-1)
        used = [self._use(i) for i in (inputs if kind == "Squeeze" else inputs[:-1])]
        if kind == "ConcatV2":
            self.add("Concat", used, name, axis=int(axes[0]))
        elif kind == "ArgMax":
            self.add("ArgMax", used, name, axis=int(axes[0]), keepdims=0)
        elif kind == "Max":
            self.add("ReduceMax", used, name, axes=axes.tolist(), keepdims=0)
        else:
            wanted = {"ExpandDims": "Unsqueeze", "Squeeze": "Squeeze", "Sum": "ReduceSum"}[kind]
            keep = {"keepdims": 0} if kind == "Sum" else {}
            self.add(wanted, [*used, self.constant(axes)], name, **keep)

    def pack(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Stack along a new axis."""
        axis = int(attributes["axis"]["i"])
        where = self.constant(np.array([axis], np.int64))
        parts = [self.add("Unsqueeze", [self._use(i), where]) for i in inputs]
        self.add("Concat", parts, name, axis=axis)

    def parts(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Split along an axis, with the axis kept (Split) or dropped (Unpack)."""
        unpack = attributes["_kind"] == "Unpack"
        count = int(attributes["num" if unpack else "num_split"]["i"])
        axis = int(attributes["axis"]["i"]) if unpack else int(self.value(inputs[0]))
        names = [name, *(f"{name}:{k}" for k in range(1, count))]
        raw = [f"{n}/kept" for n in names] if unpack else names
        sizes = self.constant(np.ones(count, np.int64))
        self.nodes.append(helper.make_node("Split", [self._use(inputs[-1]), sizes], raw, axis=axis))
        if unpack:
            where = self.constant(np.array([axis], np.int64))
            for kept, output in zip(raw, names, strict=True):
                self.add("Squeeze", [kept, where], output)

    def top(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """The largest values and their indices."""
        count = self.constant(self.value(inputs[1]).reshape(1))
        outputs = [name, f"{name}:1"]
        self.nodes.append(helper.make_node("TopK", [self._use(inputs[0]), count], outputs, axis=-1))

    def fill(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """One value everywhere."""
        self.add("Expand", [self._use(inputs[1]), self._use(inputs[0])], name)

    def square(self, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Squared difference."""
        difference = self.add("Sub", [self._use(i) for i in inputs])
        self.add("Mul", [difference, difference], name)


def _text(attribute: dict[str, str]) -> str:
    return base64.b64decode(attribute["s"]).decode()


def _integers(attribute: dict[str, Any]) -> list[int]:
    return [int(i) for i in attribute["list"]["i"]]


def _as(method: Callable[..., None], kind: str) -> Callable[..., None]:
    """``method`` told which operation it is called for."""

    def call(graph: Graph, name: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        method(graph, name, inputs, {**attributes, "_kind": kind})

    return call


_NO_OPS: dict[str, Any] = {"list": {"s": []}}
OPERATIONS: dict[str, Callable[..., None]] = {
    "_FusedConv2D": _as(Graph.convolution, "dense"),
    "DepthwiseConv2dNative": _as(Graph.convolution, "depthwise"),
    "FusedDepthwiseConv2dNative": _as(Graph.convolution, "depthwise"),
    "Cast": Graph.cast,
    "Fill": Graph.fill,
    "MaxPool": Graph.pool,
    "Pack": Graph.pack,
    "ResizeBilinear": Graph.resize,
    "SquaredDifference": Graph.square,
    "StridedSlice": Graph.slice,
    "TopKV2": Graph.top,
    **{
        k: _as(Graph.axis_operation, k) for k in ("ArgMax", "ConcatV2", "ExpandDims", "Max", "Squeeze", "Sum")
    },
    **{k: _as(Graph.parts, k) for k in ("Split", "Unpack")},
}


def read_weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, NDArray[Any]]:
    """The constants of a graph model by name; integers as int64, floats as they are stored."""
    weights, offset = {}, 0
    for entry in (w for group in manifest for w in group["weights"]):
        stored = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"])).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        values = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        weights[entry["name"]] = (
            values.astype(np.int64) if stored.kind == "i" else values.astype(stored.newbyteorder("="))
        )
        offset += count * stored.itemsize
    if offset != len(data):
        raise ValueError(f"the weights take {offset} bytes, their file has {len(data)}")
    return weights


def convert(
    model: dict[str, Any],
    data: bytes,
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """The ONNX model of a graph model.

    Args:
        model: the content of its JSON file.
        data: its weights, all shards in a row.
        name: of the graph.
        inputs: type and shape of each input, under the name that the graph model gives it.
        outputs: the same of each output.

    Raises:
        ValueError: it has an operation, or a use of one, that is not known here.
    """
    graph = Graph(model["modelTopology"], read_weights(model["weightsManifest"], data))
    made = helper.make_graph(graph.nodes, name, inputs, outputs, graph.initializers)
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(whole, full_check=True)
    return whole
