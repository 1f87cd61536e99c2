"""Predict from a recording, on its own time: a bag through ``ros2 bag play``, or a video file.

ros2 launch hmgen_ros replay.launch.py bag:=out/bag
ros2 launch hmgen_ros replay.launch.py source:=talk.mp4
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Action, Event, EventHandler, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import TransitionEvent

SHARE = Path(get_package_share_directory("hmgen_ros"))
ARGUMENTS = {
    "bag": ("", "Folder or file of the bag to play. Its end ends the launch."),
    "source": ("", 'Video file to play when no bag is given, or "bundled".'),
    "image_topic": ("image_raw", "Images in the bag; with compressed transport, its base name."),
    "image_transport": ("compressed", "raw or compressed: how the bag holds its images."),
    "audio_topic": ("audio", "Sound in the bag (hmgen_ros/msg/AudioFrame)."),
    "topics": (
        "",
        "Topics of the bag to play; empty: its images and sound, for its old outputs would mix in.",
    ),
    "rate": ("1.0", "Speed of the bag against its own time."),
    "loop": ("false", "Play the bag again at its end; the jump back in time resets all state."),
    "namespace": ("", "Namespace of all nodes and relative topics, and of the bag's topics."),
    "params_file": (str(SHARE / "config" / "hmgen.yaml"), "Parameters of all nodes (YAML)."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "single_process": ("false", "All nodes in one process."),
}
_PASSED_ON = ("image_topic", "audio_topic", "namespace", "params_file", "log_level", "single_process")


class _Ready(Event):
    name = "hmgen_ros.Ready"


def _when_ready(context: LaunchContext, node: str, action: Action) -> Action:
    """Run ``action`` once ``node`` is active: models take seconds to load, and a bag does not wait for them.

    Not by launch_ros' OnStateTransition: it knows no node inside an included file or a shared process.
    """

    def tell(message: TransitionEvent) -> None:
        if message.goal_state.label == "active":
            context.asyncio_loop.call_soon_threadsafe(context.emit_event_sync, _Ready())

    get_ros_node(context).create_subscription(TransitionEvent, f"{node}/transition_event", tell, 10)
    ready = EventHandler(matcher=lambda event: isinstance(event, _Ready), entities=[action], handle_once=True)
    return RegisterEventHandler(ready)


def _shut_down(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    # launch_ros fails when a launch that is being shut down is told so again.
    return None if context.is_shutdown else Shutdown(reason="nothing more to play")


def _player(values: dict[str, str], prefix: str) -> Action:
    image = values["image_topic"] + ("/compressed" if values["image_transport"] == "compressed" else "")
    topics = values["topics"].split() or [image, values["audio_topic"]]
    topics = [topic if topic.startswith("/") else prefix + topic for topic in topics]
    command = ["ros2", "bag", "play", values["bag"], "--clock", "100", "--rate", values["rate"]]
    command += ["--loop"] if values["loop"].lower() in ("true", "1", "yes") else []
    command += ["--topics", *topics]
    return ExecuteProcess(cmd=command, output="screen", on_exit=_shut_down)


def _actions(context: LaunchContext) -> list:
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    bag, source = values["bag"], values["source"]
    if bool(bag) == bool(source):
        raise RuntimeError("replay.launch.py: give one of bag:=FOLDER and source:=FILE")
    if bag and not Path(bag).exists():
        raise RuntimeError(f"replay.launch.py: there is no bag {bag}")
    passed = {name: values[name] for name in _PASSED_ON}
    passed |= {"use_sim_time": "true", "source": source}
    passed["image_transport"] = values["image_transport"] if bag else "raw"
    predict = PythonLaunchDescriptionSource(str(SHARE / "launch" / "predict.launch.py"))
    nodes = IncludeLaunchDescription(predict, launch_arguments=passed.items())
    if not bag:
        return [nodes]
    prefix = f"/{values['namespace'].strip('/')}/".replace("//", "/")
    return [_when_ready(context, f"{prefix}perception_node", _player(values, prefix)), nodes]


def generate_launch_description() -> LaunchDescription:
    """Arguments, the predict launch file and the player."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])
