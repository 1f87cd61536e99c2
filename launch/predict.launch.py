"""Perception and predictors on camera and microphone topics, or on a file or webcam of ours.

ros2 launch hmgen_ros predict.launch.py
ros2 launch hmgen_ros predict.launch.py source:=bundled
ros2 launch hmgen_ros predict.launch.py namespace:=robot1 image_topic:=/camera/image_raw audio_topic:=/mic
"""

import asyncio
import os
import shlex
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events import IncludeLaunchDescription
from launch.events.process import ProcessExited
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.ros_adapters import get_ros_node

SHARE = Path(get_package_share_directory("hmgen_ros"))
PREDICTION = ("perception_node", "interaction_node", "head_motion_node")
ARGUMENTS = {
    "namespace": ("", "Namespace of all nodes and relative topics, e.g. robot1."),
    "use_sim_time": ("false", "Take the time from /clock, as when a bag is played with --clock."),
    "params_file": (str(SHARE / "config" / "hmgen.yaml"), "Parameters of all nodes (YAML)."),
    "autostart": ("true", "Configure and activate the nodes; false leaves it to a lifecycle manager."),
    "use_respawn": ("false", "Start a node again when it dies."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "single_process": ("false", "All nodes in one process: images are handed over without copies."),
    "source": (
        "",
        'What to play: a file, "webcam:0" or "bundled"; empty: the camera\'s own topics. '
        "The end of a file ends the launch.",
    ),
    "player": (
        "",
        "Command that plays images and sound instead, such as ros2 bag play; started when perception is "
        "ready. Its end ends the launch.",
    ),
    "microphone": ("false", "Also run the microphone node."),
    "annotate": ("true", "Also run the annotator node (annotated_image); single_process always has it."),
    "hri": (
        "false",
        "Also run hri_node: true (or out) tells of people on /humans as ROS4HRI (REP-155) does, and of "
        "frames of their faces; in takes people from /humans in place of perception_node, and not in a "
        "single_process.",
    ),
    "image_topic": ("image_raw", "Camera images to perceive; with compressed transport, its base name."),
    "image_transport": (
        "",
        "raw, or compressed to subscribe to <image_topic>/compressed; empty: as in params_file, else raw.",
    ),
    "audio_topic": ("audio", "Sound to listen to (hmgen_ros/msg/AudioFrame)."),
    "camera_info_topic": ("camera_info", "Calibration of the camera, where there is one."),
    "enclaves": ("", "With SROS2, path below which the nodes' enclaves lie: /hmgen_ros as in our policy."),
}


def _flag(context: LaunchContext, name: str) -> bool:
    return LaunchConfiguration(name).perform(context).lower() in ("true", "1", "yes")


def _hri(context: LaunchContext) -> str:
    """Which way hri_node goes: out, in, or "" for none."""
    wanted = LaunchConfiguration("hri").perform(context).lower()
    if wanted not in ("out", "in", "true", "1", "yes", "false", "0", "no"):
        raise RuntimeError(f"predict.launch.py: hri is {wanted!r}, must be true (or out), in or false")
    return wanted if wanted in ("out", "in") else "out" if _flag(context, "hri") else ""


def _is_file(source: str) -> bool:
    return bool(source) and not source.startswith(("webcam", "/dev/"))


def _common(context: LaunchContext, executable: str) -> dict:
    image_topic = LaunchConfiguration("image_topic").perform(context)
    enclaves = LaunchConfiguration("enclaves").perform(context)
    enclave = ["--enclave", f"/{enclaves.strip('/')}/{executable}"] if enclaves else []
    return {
        "package": "hmgen_ros",
        "executable": executable,
        "namespace": LaunchConfiguration("namespace").perform(context),
        "output": "screen",
        "respawn": _flag(context, "use_respawn"),
        "respawn_delay": 2.0,
        "remappings": [
            ("image_raw", image_topic),
            ("image_raw/compressed", image_topic + "/compressed"),
            ("audio", LaunchConfiguration("audio_topic").perform(context)),
            ("camera_info", LaunchConfiguration("camera_info_topic").perform(context)),
        ],
        "ros_arguments": ["--log-level", LaunchConfiguration("log_level").perform(context), *enclave],
    }


def _parameters(context: LaunchContext, source: str) -> list:
    """Of every node: one that has no parameter of a name passes over it."""
    simulated = _flag(context, "use_sim_time")
    values = {"autostart": _flag(context, "autostart"), "use_sim_time": simulated}
    transport = LaunchConfiguration("image_transport").perform(context)
    if transport:
        values["image_transport"] = transport
    if simulated and _is_file(source):
        # The file is the source of time.
        values |= {"publish_clock": True, "start_time_s": 1.0}
    return [LaunchConfiguration("params_file").perform(context), values]


def _shut_down(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    # launch_ros fails when a launch that is being shut down is told so again.
    return None if context.is_shutdown else Shutdown(reason="nothing more to play")


def _at_end(source: str) -> dict:
    """A file that has been played to its end is not to be played again."""
    return {"respawn": False, "on_exit": _shut_down} if _is_file(source) else {}


async def _start_when_ready(context: LaunchContext, action: Action, names: set[str]) -> None:
    """Models take seconds to load, and neither file nor bag waits for them.

    A node subscribes when it becomes active; its transition event may come too early to be received.
    """
    prefix = f"/{LaunchConfiguration('namespace').perform(context).strip('/')}/".replace("//", "/")
    image_topic = LaunchConfiguration("image_topic").perform(context)
    topics = [image_topic, image_topic + "/compressed", "people"]
    topics = [topic if topic.startswith("/") else prefix + topic for topic in topics]
    node = get_ros_node(context)

    def ready() -> set[str]:
        found = [info for topic in topics for info in node.get_subscriptions_info_by_topic(topic)]
        return {info.node_name for info in found}

    while not context.is_shutdown:
        if names <= ready():
            return await context.emit_event(IncludeLaunchDescription(LaunchDescription([action])))
        await asyncio.sleep(0.1)


def _replaced(context: LaunchContext) -> set[str]:
    """Nodes whose work hri_node does."""
    return {"perception_node"} if _hri(context) == "in" else set()


def _when_ready(context: LaunchContext, action: Action) -> None:
    # In one process the predictors subscribe to nothing, and are active before perception.
    single = _flag(context, "single_process")
    names = {"perception_node"} if single else {*PREDICTION} - _replaced(context)
    # Not launch's OpaqueCoroutine: it is cancelled at Ctrl-C, and that ends the launch before its processes.
    task = context.asyncio_loop.create_task(_start_when_ready(context, action, names))
    context.add_completion_future(task)


def _hri_nodes(context: LaunchContext, source: str) -> list:
    way = _hri(context)
    if not way:
        return []
    parameters = [*_parameters(context, source), {"direction": way}]
    return [LifecycleNode(name="hri_node", parameters=parameters, **_common(context, "hri_node"))]


def _single_process(context: LaunchContext, source: str) -> list:
    if _hri(context) == "in":
        raise RuntimeError("predict.launch.py: hri:=in needs single_process:=false; it replaces a node of it")
    arguments = ["--source", source] if source else []
    arguments += ["--microphone"] if _flag(context, "microphone") else []
    common = _common(context, "single_process") | _at_end(source)
    # No name: it would be given to every node of the process.
    process = Node(parameters=_parameters(context, source), arguments=arguments, **common)
    return [process, *_hri_nodes(context, source)]


def _processes(context: LaunchContext, source: str) -> list:
    parameters = _parameters(context, source)
    names = [name for name in PREDICTION if name not in _replaced(context)]
    names += ["annotator_node"] if _flag(context, "annotate") else []
    names += ["microphone_node"] if _flag(context, "microphone") else []
    nodes = [LifecycleNode(name=name, parameters=parameters, **_common(context, name)) for name in names]
    nodes += _hri_nodes(context, source)
    if source:
        common = _common(context, "media_node") | _at_end(source)
        own = [*parameters, {"source": source}]
        media = LifecycleNode(name="media_node", parameters=own, **common)
        # A lifecycle manager waits for all nodes that it manages.
        if _flag(context, "autostart"):
            _when_ready(context, media)
        else:
            nodes.append(media)
    return nodes


def _actions(context: LaunchContext) -> list:
    source = LaunchConfiguration("source").perform(context)
    player = LaunchConfiguration("player").perform(context)
    if source and player:
        raise RuntimeError("predict.launch.py: give one of source and player, not both")
    make = _single_process if _flag(context, "single_process") else _processes
    actions = make(context, source)
    if player:
        process = ExecuteProcess(cmd=shlex.split(player), output="screen", on_exit=_shut_down)
        _when_ready(context, process)
    return actions


def generate_launch_description() -> LaunchDescription:
    """Arguments, environment and nodes."""
    # Fast DDS 2, of ROS 2 Jazzy and before, reads another name and Fast DDS 3 warns about that one.
    old = os.environ.get("ROS_DISTRO", "") in ("humble", "iron", "jazzy")
    variable = "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"
    defaults = {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        variable: str(SHARE / "config" / "fastdds_profile.xml"),
    }
    environment = [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in defaults.items()
    ]
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*environment, *arguments, OpaqueFunction(function=_actions)])
