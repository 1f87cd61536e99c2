"""Frames ``face_<id>`` on ``/tf``: where faces are, in metres, as REP-155 wants them.

The frame's origin is the root of the nose between the eyes, x points out of the face, z up, y to the person's
left; its parent is the camera's optical frame. How far a face is away follows from how large it is in the
image of a calibrated camera, given how far apart the outer corners of people's eyes are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from scipy.spatial.transform import Rotation

from hmgen_ros.nodes.adapters import package_messages
from hmgen_ros.nodes.conversions import header
from hmgen_ros.perception.head_pose import place_head
from hmgen_ros.types import Scene

#: As tf2's own broadcaster has it.
_TF = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


def face_transforms(
    scene: Scene, camera: NDArray[np.float64], eye_corners_m: float
) -> list[TransformStamped]:
    """One for each face that can be placed.

    Args:
        scene: the people.
        camera: ``[3, 3]`` matrix of the calibrated camera.
        eye_corners_m: distance of the outer eye corners, metres; for a child's face it is too large, and the
            face is taken to be too far away by as much.
    """
    found = []
    for person in scene.people:
        place = None if person.face is None else place_head(person.face.landmarks_px, camera)
        if place is None:
            continue
        x, y, z = (place.position * eye_corners_m).tolist()
        qx, qy, qz, qw = Rotation.from_matrix(place.rotation).as_quat().tolist()
        found.append(
            TransformStamped(
                header=header(scene.stamp_ns, scene.frame_id),
                child_frame_id=f"face_{person.person_id}",
                transform=Transform(
                    translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
                ),
            )
        )
    return found


class FaceFrames:
    """Publishes them.

    Attributes:
        eye_corners_m: see :func:`face_transforms`; may be changed at any time.
    """

    def __init__(self, node: Node, eye_corners_m: float) -> None:
        """Advertise ``/tf``.

        Args:
            node: that publishes.
            eye_corners_m: see :func:`face_transforms`.

        Raises:
            hmgen_ros.nodes.base.SetupError: tf2_msgs cannot be imported.
        """
        self._message: Any = package_messages("tf2_msgs", "face_frames").TFMessage
        self._publisher = node.create_publisher(self._message, "/tf", _TF)
        self._node, self.eye_corners_m = node, eye_corners_m

    def publish(self, scene: Scene, camera: NDArray[np.float64]) -> None:
        """Tell where faces are at a tick; nothing where none can be placed."""
        transforms = face_transforms(scene, camera, self.eye_corners_m)
        if transforms:
            self._publisher.publish(self._message(transforms=transforms))

    def close(self) -> None:
        """Withdraw the topic."""
        self._node.destroy_publisher(self._publisher)
