"""People and forecasts as ``visualization_msgs/MarkerArray``, for RViz and Foxglove.

For each person a ball where the head is, green while the person speaks, an arrow where the face points, a
paler one where it will point, and a text. Places are in the camera's optical frame, as :mod:`.face_frames`
has them; the camera is taken to see 53 degrees, and distances are off by as much as it does not.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA

from hmgen_ros.nodes.adapters import package_messages
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import header
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.qos import SENSOR_OUT
from hmgen_ros.perception.head_pose import HeadPlace, default_camera_matrix, place_head
from hmgen_ros.types import Action, ActionOutlook, HeadMotion, Person, actions_of, mask_label
from hmgen_ros.viewing.collector import TickView

Colour = tuple[float, float, float, float]

#: Metres.
_BALL, _ARROW, _SHAFT, _TEXT, _ABOVE = 0.16, 0.35, 0.02, 0.06, 0.2
#: A marker that is not renewed vanishes, as the person has.
_LIFETIME_NS = 300_000_000
_SPEAKS, _SILENT, _NEXT = (0.2, 0.8, 0.3, 0.7), (0.6, 0.6, 0.65, 0.5), (0.95, 0.75, 0.2, 0.6)
_WHITE = (1.0, 1.0, 1.0, 1.0)


def markers_output(node: HmgenNode, eye_corners_m: Callable[[], float]) -> Output[TickView]:
    """The topic ``markers`` of a node, filled only while somebody subscribes.

    Args:
        node: that publishes.
        eye_corners_m: distance of the outer eye corners, metres; asked at every tick.

    Raises:
        hmgen_ros.nodes.base.SetupError: visualization_msgs cannot be imported.
    """
    messages = package_messages("visualization_msgs", "markers")
    builder = MarkerBuilder(messages, eye_corners_m)
    return Output(node, messages.MarkerArray, "markers", SENSOR_OUT, builder.message, lazy=True)


class MarkerBuilder:
    """Makes the message of a tick."""

    def __init__(self, messages: Any, eye_corners_m: Callable[[], float]) -> None:
        """Take the message classes.

        Args:
            messages: the module ``visualization_msgs.msg``.
            eye_corners_m: distance of the outer eye corners, metres; asked at every tick.
        """
        self._messages, self._ask = messages, eye_corners_m
        self._eye_corners_m = eye_corners_m()

    def message(self, view: TickView) -> Any:
        """``MarkerArray`` of everyone whose face can be placed."""
        array = self._messages.MarkerArray()
        if view.scene is None:
            return array
        self._eye_corners_m = self._ask()
        camera = default_camera_matrix(view.scene.image_size)
        stamp = header(view.scene.stamp_ns, view.scene.frame_id)
        for person in view.scene.people:
            place = None if person.face is None else place_head(person.face.landmarks_px, camera)
            if place is None:
                continue
            later = _later(view.motions.get(person.person_id), camera)
            for marker in self._person(person, view.actions.get(person.person_id), place, later):
                marker.header, marker.id = stamp, marker_id(person.person_id)
                marker.lifetime = Duration(nanosec=_LIFETIME_NS)
                array.markers.append(marker)
        return array

    def _person(
        self, person: Person, outlook: ActionOutlook | None, place: HeadPlace, later: HeadPlace | None
    ) -> list[Any]:
        kinds = self._messages.Marker
        colour = _SPEAKS if Action.SPEAKING in actions_of(person.actions) else _SILENT
        middle = place.position * self._eye_corners_m
        ball = self._marker(kinds.SPHERE, "heads", colour, _BALL)
        # The root of the nose lies on the ball, not in its middle.
        ball.pose.position = _point(middle - place.rotation[:, 0] * _BALL / 2)
        text = self._marker(kinds.TEXT_VIEW_FACING, "texts", _WHITE, _TEXT)
        # Up in the picture: the optical frame's y points down.
        text.pose.position = _point(middle - np.array([0.0, _ABOVE, 0.0]))
        text.text = caption(person, outlook)
        found = [ball, text, self._arrow("faces", place, colour)]
        return found if later is None else [*found, self._arrow("faces_later", later, _NEXT)]

    def _arrow(self, namespace: str, place: HeadPlace, colour: Colour) -> Any:
        arrow = self._marker(self._messages.Marker.ARROW, namespace, colour, _SHAFT)
        arrow.scale = Vector3(x=_SHAFT, y=2.5 * _SHAFT, z=3 * _SHAFT)
        begin = place.position * self._eye_corners_m
        arrow.points = [_point(begin), _point(begin + place.rotation[:, 0] * _ARROW)]
        return arrow

    def _marker(self, kind: int, namespace: str, colour: Colour, size: float) -> Any:
        red, green, blue, alpha = colour
        marker = self._messages.Marker(ns=namespace, type=kind, action=self._messages.Marker.ADD)
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
        marker.scale = Vector3(x=size, y=size, z=size)
        marker.pose.orientation = Quaternion(w=1.0)
        return marker


def caption(person: Person, outlook: ActionOutlook | None) -> str:
    """What a person does, and what comes next where a change is expected."""
    now = f"{person.person_id}: {mask_label(person.actions)}"
    if outlook is None or not outlook.valid or outlook.next_mask == outlook.current_mask:
        return now
    following, seconds = mask_label(outlook.next_mask), outlook.seconds_until_start
    return f"{now}\n{following} in {seconds:.1f} s ({outlook.confidence:.0%})"


def marker_id(person_id: str) -> int:
    """The same number for the same person, in the range of a marker's id."""
    return zlib.crc32(person_id.encode()) & 0x7FFFFFFF


def _later(motion: HeadMotion | None, camera: NDArray[np.float64]) -> HeadPlace | None:
    if motion is None or not motion.valid or not len(motion.landmarks_px):
        return None
    return place_head(motion.landmarks_px[-1], camera)


def _point(place: NDArray[np.float64]) -> Point:
    x, y, z = (float(value) for value in place)
    return Point(x=x, y=y, z=z)
