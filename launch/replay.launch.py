"""Predict from a recording, on its own time: a bag through ``ros2 bag play``, or a video file.

ros2 launch hmgen_ros replay.launch.py bag:=out/bag
ros2 launch hmgen_ros replay.launch.py source:=talk.mp4
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("hmgen_ros"))
ARGUMENTS = {
    "bag": ("", "Folder or file of the bag to play."),
    "source": ("", 'Video file to play when no bag is given, or "bundled".'),
    "topics": (
        "image_raw/compressed audio",
        "Topics of the bag to play: inputs only, or its old outputs mix in.",
    ),
    "rate": ("1.0", "Speed of the bag against its own time."),
    "loop": ("false", "Play the bag again at its end; the jump back in time resets all state."),
    "image_transport": ("compressed", "raw or compressed: how the bag holds its images."),
    "namespace": ("", "Namespace of all nodes and relative topics, and of the bag's topics."),
    "params_file": (str(SHARE / "config" / "hmgen.yaml"), "Parameters of all nodes (YAML)."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "single_process": ("false", "All nodes in one process."),
}
_PASSED_ON = ("namespace", "params_file", "log_level", "single_process")


def _actions(context: LaunchContext) -> list:
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    bag, source = values["bag"], values["source"]
    if bool(bag) == bool(source):
        raise RuntimeError("replay.launch.py: give one of bag:=FOLDER and source:=FILE")
    passed = {name: values[name] for name in _PASSED_ON}
    passed |= {"use_sim_time": "true", "source": source}
    passed["image_transport"] = values["image_transport"] if bag else "raw"
    predict = PythonLaunchDescriptionSource(str(SHARE / "launch" / "predict.launch.py"))
    actions = [IncludeLaunchDescription(predict, launch_arguments=passed.items())]
    if bag:
        prefix = f"/{values['namespace'].strip('/')}/".replace("//", "/")
        topics = [topic if topic.startswith("/") else prefix + topic for topic in values["topics"].split()]
        command = [
            "ros2",
            "bag",
            "play",
            bag,
            "--clock",
            "100",
            "--rate",
            values["rate"],
            "--topics",
            *topics,
        ]
        command += ["--loop"] if values["loop"].lower() in ("true", "1", "yes") else []
        actions.append(ExecuteProcess(cmd=command, output="screen", on_exit=Shutdown()))
    return actions


def generate_launch_description() -> LaunchDescription:
    """Arguments, the predict launch file and the player."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])
