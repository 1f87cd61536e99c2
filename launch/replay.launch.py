"""Predict from a recording, on its own time: a bag through ``ros2 bag play``, or a video file.

ros2 launch hmgen_ros replay.launch.py bag:=out/bag
ros2 launch hmgen_ros replay.launch.py source:=talk.mp4
"""

import shlex
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("hmgen_ros"))
ARGUMENTS = {
    "bag": ("", "Folder or file of the bag to play. Its end ends the launch."),
    "source": ("", 'Video file to play when no bag is given, or "bundled".'),
    "image_topic": ("image_raw", "Images in the bag; with compressed transport, its base name."),
    "image_transport": ("compressed", "raw or compressed: how the bag holds its images."),
    "audio_topic": ("audio", "Sound in the bag (hmgen_ros/msg/AudioFrame)."),
    "camera_info_topic": ("camera_info", "Calibration of the camera in the bag, where there is one."),
    "topics": (
        "",
        "Topics of the bag to play; empty: images, calibration and sound, for its old outputs would mix in.",
    ),
    "rate": ("1.0", "Speed of the bag against its own time."),
    "loop": ("false", "Play the bag again at its end; the jump back in time resets all state."),
    "namespace": ("", "Namespace of all nodes and relative topics, and of the bag's topics."),
    "params_file": (str(SHARE / "config" / "hmgen.yaml"), "Parameters of all nodes (YAML)."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "single_process": ("false", "All nodes in one process."),
    "hri": (
        "false",
        "Also run hri_node, as predict.launch.py says; with in, topics has to name the bag's /humans.",
    ),
    "enclaves": ("", "With SROS2, path below which the nodes' enclaves lie: /hmgen_ros as in our policy."),
}
_PASSED_ON = (
    "image_topic",
    "audio_topic",
    "camera_info_topic",
    "namespace",
    "params_file",
    "log_level",
    "single_process",
    "hri",
    "enclaves",
)


def _player(values: dict[str, str]) -> str:
    prefix = f"/{values['namespace'].strip('/')}/".replace("//", "/")
    image = values["image_topic"] + ("/compressed" if values["image_transport"] == "compressed" else "")
    topics = values["topics"].split() or [image, values["audio_topic"], values["camera_info_topic"]]
    topics = [topic if topic.startswith("/") else prefix + topic for topic in topics]
    command = ["ros2", "bag", "play", values["bag"], "--clock", "100", "--rate", values["rate"]]
    # Until the player and perception have found each other, images would be lost.
    command += ["--delay", "3.0", "--disable-keyboard-controls"]
    command += ["--loop"] if values["loop"].lower() in ("true", "1", "yes") else []
    return shlex.join([*command, "--topics", *topics])


def _actions(context: LaunchContext) -> list:
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    bag, source = values["bag"], values["source"]
    if bool(bag) == bool(source):
        raise RuntimeError("replay.launch.py: give one of bag:=FOLDER and source:=FILE")
    if bag and not Path(bag).exists():
        raise RuntimeError(f"replay.launch.py: there is no bag {bag}")
    passed = {name: values[name] for name in _PASSED_ON}
    passed |= {"use_sim_time": "true", "source": source, "player": _player(values) if bag else ""}
    passed["image_transport"] = values["image_transport"] if bag else "raw"
    predict = PythonLaunchDescriptionSource(str(SHARE / "launch" / "predict.launch.py"))
    return [IncludeLaunchDescription(predict, launch_arguments=passed.items())]


def generate_launch_description() -> LaunchDescription:
    """Arguments, the predict launch file and the player."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])
