"""Settings of a robot's head: a bad one is refused by name, and the documented ones are good."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from robot_head_motion import HEAD, PAN, ROLL, TILT

from hmgen_ros.robot_head import JointSpec, RobotHeadConfig


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", " "),
        ("axis", "tilt"),
        ("lower", 1.2),
        ("lower", float("nan")),
        ("lower", -1e9),
        ("upper", float("inf")),
        ("upper", 200.0),
        ("max_velocity", 0.0),
        ("max_velocity", -1.0),
        ("max_acceleration", 0.3),
        ("gain", float("inf")),
        ("offset", 1.3),
    ],
)
def test_settings_of_a_joint_are_checked_by_name(setting: str, value: object) -> None:
    named = "upper" if (setting, value) == ("lower", 1.2) else setting
    with pytest.raises(ValueError, match=f"^{named} of (a )?joint"):
        replace(PAN, **{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("joints", ()),
        ("joints", (PAN, TILT, ROLL, replace(PAN, name="other"))),
        ("joints", (PAN, PAN)),
        ("joints", (replace(PAN, gain=0.0),)),
        ("smoothing_s", 0.03),
        ("smoothing_s", float("nan")),
        ("stale_s", 0.19),
        ("stale_s", float("nan")),
        ("blend_s", -0.1),
        ("lead_s", 0.45),
        ("lead_s", -0.01),
    ],
)
def test_settings_of_a_head_are_checked_by_name(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match="lead_s" if setting == "lead_s" else setting):
        replace(HEAD, **{setting: value})


PARAMETERS: dict[str, object] = {"smoothing_s": 0.1, "stale_s": 0.4, "blend_s": 0.5, "lead_s": 0.2} | {
    f"{axis}.{name}": value
    for axis in ("yaw", "pitch", "roll")
    for name, value in {
        "joint": "",
        "lower": -1.0,
        "upper": 1.0,
        "max_velocity": 2.0,
        "max_acceleration": 8.0,
        "gain": 1.0,
        "offset": 0.0,
    }.items()
}


def test_parameters_describe_a_head() -> None:
    assert RobotHeadConfig.from_parameters(PARAMETERS) is None
    config = RobotHeadConfig.from_parameters(
        PARAMETERS | {"pitch.joint": "neck_tilt", "pitch.gain": -1.0, "yaw.joint": " neck_pan "}
    )
    assert config == RobotHeadConfig(
        (
            JointSpec("neck_pan", "yaw", -1.0, 1.0, 2.0, 8.0),
            JointSpec("neck_tilt", "pitch", -1.0, 1.0, 2.0, 8.0, gain=-1.0),
        ),
        smoothing_s=0.1,
        stale_s=0.4,
        blend_s=0.5,
        lead_s=0.2,
    )


def test_bad_parameters_are_named() -> None:
    pan = PARAMETERS | {"yaw.joint": "pan"}
    with pytest.raises(ValueError, match=r"yaw\.\*: max_velocity of joint 'pan'"):
        RobotHeadConfig.from_parameters(pan | {"yaw.max_velocity": -1.0})
    with pytest.raises(ValueError, match=r"'yaw\.gain'.* is missing"):
        RobotHeadConfig.from_parameters({name: value for name, value in pan.items() if name != "yaw.gain"})


def test_the_documented_heads_are_valid() -> None:
    """Every example of a parameter file describes a head, with what it leaves out at the defaults."""
    text = (Path(__file__).parents[1] / "docs/robot_head.md").read_text()
    examples = [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(head_motion_node:.*?)```", text, re.S)
    ]
    axes = []
    for example in examples:
        described = example["head_motion_node"]["ros__parameters"]["robot_head"]
        flat = {f"{axis}.{name}": value for axis, one in described.items() for name, value in one.items()}
        assert flat.keys() <= PARAMETERS.keys()
        config = RobotHeadConfig.from_parameters(PARAMETERS | flat)
        assert config is not None
        axes.append([joint.axis for joint in config.joints])
    assert axes == [["yaw"], ["yaw", "pitch"], ["yaw", "pitch"], ["yaw", "pitch", "roll"]]
