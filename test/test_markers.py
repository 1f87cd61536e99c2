"""Heads in space: where markers are, where they point, and what they say."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import visualization_msgs.msg
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_behaviours import person, scene

from hmgen_ros.nodes.adapters.markers import MarkerBuilder, caption, marker_id
from hmgen_ros.nodes.interfaces import load_interfaces
from hmgen_ros.perception.head_pose import FACING_CAMERA, HEAD_MODEL, RIGID_POINTS, default_camera_matrix
from hmgen_ros.resources import resource
from hmgen_ros.types import Action, ActionOutlook, HeadMotion, Person, action_mask
from hmgen_ros.viewing.collector import TickView

EYES_M = 0.09
MARKERS = MarkerBuilder(visualization_msgs.msg, lambda: EYES_M)
SPEAKS = action_mask(Action.SPEAKING)


def seen_at(metres: tuple[float, float, float], yaw: float = 0.0) -> np.ndarray:
    """``[68, 2]`` landmarks of a head there, turned to its left; only the rigid points are right."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    # In the head's axes a turn to the left is about z; the model's are x left, y down, z back.
    turn = FACING_CAMERA @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ FACING_CAMERA.T
    points = HEAD_MODEL @ turn.T + np.array(metres) / EYES_M
    camera = default_camera_matrix((640, 480))
    found = np.zeros((68, 2), np.float32)
    found[np.array(RIGID_POINTS)] = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera, None)[0][:, 0]
    return found


def looking(name: str, landmarks: np.ndarray, actions: int = 0) -> Person:
    one = person(name, actions)
    assert one.face is not None
    return replace(one, face=replace(one.face, landmarks_px=landmarks))


def markers(view: TickView) -> dict[str, visualization_msgs.msg.Marker]:
    """Of one person, by namespace."""
    return {marker.ns: marker for marker in MARKERS.message(view).markers}


@given(st.floats(-0.4, 0.4), st.floats(-0.3, 0.3), st.floats(0.8, 3.0), st.floats(-0.8, 0.8))
def test_a_head_is_where_its_landmarks_say_and_points_where_it_looks(
    x: float, y: float, z: float, yaw: float
) -> None:
    found = markers(TickView(scene=scene(0, looking("abcde", seen_at((x, y, z), yaw)))))
    begin, end = ((p.x, p.y, p.z) for p in found["faces"].points)
    # The root of the nose, not the middle between the eyes.
    np.testing.assert_allclose(begin, (x, y, z), atol=0.05)
    direction = np.subtract(end, begin) / np.linalg.norm(np.subtract(end, begin))
    # To the person's left is to the right of the picture.
    np.testing.assert_allclose(direction, (math.sin(yaw), 0.0, -math.cos(yaw)), atol=0.05)


def test_who_speaks_is_green_and_what_comes_is_told() -> None:
    landmarks = seen_at((0.0, 0.0, 1.0))
    silent = markers(TickView(scene=scene(0, looking("abcde", landmarks))))
    view = TickView(scene=scene(0, looking("abcde", landmarks, SPEAKS)))
    view.actions["abcde"] = ActionOutlook(0, "abcde", 1.6, True, SPEAKS, 0, 0.75, 0.5)
    speaks = markers(view)
    assert speaks["heads"].color.g > silent["heads"].color.g
    assert silent["texts"].text == "abcde: none"
    assert speaks["texts"].text == "abcde: speaking\nnone in 0.5 s (75%)"
    assert caption(person("a", SPEAKS), ActionOutlook(0, "a", 1.6)) == "a: speaking"


def test_a_forecast_points_where_the_head_will() -> None:
    view = TickView(scene=scene(0, looking("abcde", seen_at((0.0, 0.0, 1.0)))))
    future = np.stack([seen_at((0.0, 0.0, 1.0), yaw) for yaw in (0.2, 0.5)])
    motion = HeadMotion(0, "abcde", future, np.zeros(2, np.float32), 60.0, np.zeros((2, 3), np.float32))
    view.motions["abcde"] = motion
    now, later = (markers(view)[name].points for name in ("faces", "faces_later"))
    assert later[1].x - later[0].x > now[1].x - now[0].x + 0.1
    view.motions["abcde"] = replace(motion, valid=False)
    assert "faces_later" not in markers(view)


def test_only_faces_that_can_be_placed_are_shown_and_markers_fade() -> None:
    flat = looking("flat", np.full((68, 2), np.nan, np.float32))
    view = TickView(scene=scene(0, flat, person("hidden", pose=None), looking("seen", seen_at((0, 0, 1)))))
    array = MARKERS.message(view)
    assert {marker.id for marker in array.markers} == {marker_id("seen")}
    assert all(marker.lifetime.sec or marker.lifetime.nanosec for marker in array.markers)
    assert MARKERS.message(TickView()).markers == []


@given(st.text("abcdefghij", min_size=5, max_size=5))
def test_ids_fit_and_stay(name: str) -> None:
    assert 0 <= marker_id(name) < 2**31
    assert marker_id(name) == marker_id(name)


@pytest.mark.parametrize("view", ["hmgen.rviz", "hmgen_foxglove.json"])
def test_views_show_topics_that_there_are(view: str) -> None:
    text = resource(f"config/views/{view}").read_text(encoding="utf-8")
    if view.endswith(".json"):
        panels = json.loads(text)["configById"]
        topics = {panel["imageMode"]["imageTopic"] for panel in panels.values() if "imageMode" in panel}
        topics |= {name for panel in panels.values() for name in panel.get("topics", ())}
        topics |= {
            path["value"].split(".")[0] for panel in panels.values() for path in panel.get("paths", ())
        }
    else:
        displays = yaml.safe_load(text)["Visualization Manager"]["Displays"]
        topics = {f"/{one['Topic']['Value']}" for one in displays if "Topic" in one}
    published = {
        one.name if one.name.startswith("/") else f"/{one.name.replace('~', node.node)}"
        for node in load_interfaces()
        for one in node.publishes
    }
    assert topics
    assert topics <= published
