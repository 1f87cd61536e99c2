"""Everyone in view in, a trajectory of every head out; and the robot's own head, by itself and by its speech.

Subscribes: ``people``; ``audio`` where speakers have a model of their own; with the robot's own head
``~/speech``, what it says, and ``joint_states`` where a joint is named. Publishes: ``head_motion`` (one a
person and tick); with the robot's own head ``~/own_head_motion`` and, where a joint is named,
``~/joint_trajectory``, 25 times a second each, whether there are people or not. Serves:
``~/generate_head_motion``, the motion of a whole utterance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from hmgen_ros.generators.free_head import FreeHead
from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.generators.speech_models import load_speech_generator
from hmgen_ros.msg import AudioFrame
from hmgen_ros.msg import HeadMotion as HeadMotionMessage
from hmgen_ros.nodes.adapters.audio_common import subscribe_audio_common
from hmgen_ros.nodes.base import SetupError
from hmgen_ros.nodes.conversions import audio_samples
from hmgen_ros.nodes.forecast_conversion import motion_message
from hmgen_ros.nodes.image_conversion import BadMessage, stamp_ns
from hmgen_ros.nodes.joint_trajectory import joint_positions, joint_trajectory_message
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.predictor_node import PredictorNode
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import COMMANDS, IMAGES, PREDICTIONS, SOUND
from hmgen_ros.nodes.utterance_action import RobotJoints, UtteranceAction
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.robot_head import HeadMode, HeadTrajectory, RobotHead, RobotHeadConfig
from hmgen_ros.robot_head.speaking_head import SpeakingHead
from hmgen_ros.streams.audio import AudioNormaliser, BadAudio
from hmgen_ros.types import TICK_HZ, HeadMotion, Scene

_TEXTS = {
    "pose_drawn_back": "the robot's head had left what faces do; its pose was drawn back",
    "pose_unsolved": "the orientation of the robot's generated face cannot be told; the last one is held",
    "pose_not_finite": "the model of the robot's head gave no numbers; it begins again at rest",
    "head_target_not_finite": "a pose of the robot's head is no number; it was left out",
    "head_stamp_backwards": "time went backwards; the robot's head goes on as if by one tick",
    "speech_late": "speech came more than half a second after its stamp: it is taken to be played on arrival",
    "speech_stamp_backwards": "a piece of speech is stamped before the last one; it was put behind that",
    "speech_dropped": "speech was sent more than a minute before it is played; the rest was dropped",
    "speech_reset": "time went backwards; the speech that waited was dropped",
    "audio_clipped": "the sound goes beyond full scale",
    "audio_reset_gap": "no sound for a while; its history was dropped",
    "audio_reset_backward": "the sound's time jumped back; its history was dropped",
}
# Pauses between sentences, and sound that comes in large pieces, are normal: counted, not warned about.
_QUIET = {"audio_gap", "audio_format_change", "speech_starved"}
#: Speech: best effort like all sound, and deep, for a sentence may come at once in small pieces.
_SPEECH = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=1000)


def voice_of(values: Mapping[str, Any]) -> LatchConfig:
    """When the robot's own voice begins and ends; raises ValueError where parameters do not go together."""
    try:
        return LatchConfig(
            **{part.name: values[f"own_head.voice.{part.name}"] for part in fields(LatchConfig)}
        )
    except ValueError as error:
        raise ValueError(f"own_head.voice.*: {error}") from error


def robot_head_of(values: Mapping[str, Any]) -> RobotHeadConfig | None:
    """The robot's head, None where no joint is named; raises ValueError where it cannot be such."""
    prefix = "robot_head."
    return RobotHeadConfig.from_parameters(
        {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    )


class HeadMotionNode(PredictorNode[HeadForecaster]):
    """Wraps HeadForecaster, and FreeHead or SpeakingHead with RobotHead.

    Attributes:
        motion: of the people in view.
        own_motion: of the robot's own head.
        joints: its joints' trajectories.
    """

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("head_motion_node", local, overrides)
        self.motion: Output[tuple[HeadMotion, str]] = self.add_output(
            Output(self, HeadMotionMessage, "head_motion", PREDICTIONS, lambda v: motion_message(*v))
        )
        self.own_motion: Output[HeadMotion] = self.add_output(
            Output(self, HeadMotionMessage, "~/own_head_motion", PREDICTIONS, lambda v: motion_message(v, ""))
        )
        self.joints: Output[HeadTrajectory] = self.add_output(
            Output(self, JointTrajectory, "~/joint_trajectory", COMMANDS, self._trajectory_message)
        )
        self._own_head: FreeHead | SpeakingHead | None = None
        self._sound = AudioNormaliser()
        self._head_config: RobotHeadConfig | None = None
        self._robot_head: RobotHead | None = None
        self._positions: dict[str, float] = {}
        self._timer: Timer | None = None
        self._utterances = UtteranceAction(self, self._utterance_head, self._joints_now)

    def load(self) -> HeadForecaster:
        """The forecaster of the parameters."""
        return HeadForecaster.load(
            self.param("model"),
            solve_head_pose,
            device=self.param("device"),
            horizon_s=self.param("horizon_s"),
            seed=self.param("seed"),
            speaker_model=self.param("speaker_model"),
        )

    def setup(self) -> None:
        """Load and warm the models, and read the description of the robot's head."""
        super().setup()
        try:
            self._head_config = robot_head_of(self.values())
            if self._head_config is not None or self.param("own_head.enabled"):
                self._own_head = self._load_own_head()
        except (ValueError, RuntimeError, OSError) as error:
            raise SetupError(f"the robot's head cannot start: {error}") from error

    def _load_own_head(self) -> FreeHead | SpeakingHead:
        """The robot's own head of the parameters, which raises as :meth:`load`."""
        head, speech = self._free_head(self.param("seed")), self.param("own_head.speech_model")
        return self._with_speech(head, speech) if speech else head

    def _utterance_head(self, model: str, seed: int) -> SpeakingHead:
        """Another head that speaks by the model of this name, which raises as :meth:`load`."""
        return self._with_speech(self._free_head(seed), model)

    def _free_head(self, seed: int) -> FreeHead:
        return FreeHead.load(
            self.param("own_head.model"),
            solve_head_pose,
            device=self.param("device"),
            horizon_s=self.param("horizon_s"),
            seed=seed,
        )

    def _with_speech(self, head: FreeHead, model: str) -> SpeakingHead:
        speech = load_speech_generator(model, self.param("device"))
        return SpeakingHead(head, speech, voice_of(self.values()))

    def adjustment(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """Hear the robot's own voice, and move its joints, by other settings; see HmgenNode.

        Joints whose motion is described otherwise come to rest by the old description, within the old limits,
        and start again by the new one.
        """
        voice, described, head = voice_of(values), robot_head_of(values), self._own_head

        def adjust() -> None:
            if isinstance(head, SpeakingHead):
                head.sound.adjust(voice)
            self._head_config = described

        return adjust

    def _joints_now(self) -> RobotJoints | None:
        config = self._head_config
        return None if config is None else RobotJoints(config, dict(self._positions))

    def teardown(self) -> None:
        """Drop the models."""
        super().teardown()
        self._own_head = self._head_config = None

    def start(self) -> None:
        """Subscribe, and set the robot's own head moving from rest."""
        super().start()
        self._sound.reset()
        if self.param("speaker_model") and self.param("audio_type") == "audio_common":
            subscribe_audio_common(self, "audio", lambda sound: self._hear(*sound))
        elif self.param("speaker_model"):
            self.subscribe(AudioFrame, "audio", SOUND, self._on_audio)
        if self._own_head is None:
            return
        self._own_head.reset()
        if isinstance(self._own_head, SpeakingHead):
            self.subscribe(AudioFrame, self.param("own_head.speech_topic"), _SPEECH, self._on_speech)
        if self._head_config is not None:
            self.subscribe(JointState, "joint_states", IMAGES, self._on_joint_states)
        self._timer = self.create_timer(
            1.0 / TICK_HZ, lambda: self.receive(self._tick_own_head, self._own_head)
        )

    @property
    def awaits_people(self) -> bool:
        """Not where the robot's own head moves."""
        return self._own_head is None

    def stop(self) -> None:
        """The robot's head is told nothing more: its last trajectory ends at rest."""
        super().stop()
        if self._timer is not None:
            self.destroy_timer(self._timer)
        self._timer = self._robot_head = None
        # Where the joints are by the time they are asked for again, others decide.
        self._positions = {}

    def destroy_node(self) -> None:
        """As every node, and without the action, which rclpy does not count among what a node destroys."""
        self._utterances.destroy()
        super().destroy_node()

    def forecast(self, forecaster: HeadForecaster, scene: Scene) -> None:
        """Forecast every head and publish it."""
        with self.times.stage("head_motion"):
            motions = forecaster.observe(scene)
        with self.times.stage("publish_head_motion"):
            for motion in motions:
                self.motion.send((motion, scene.frame_id))

    def details(self) -> dict[str, object]:
        """What the base tells, which models move the robot's head, and what becomes of its speech."""
        own: dict[str, object] = {}
        if self._own_head is not None:
            own["own_head_model"] = self.param("own_head.model")
        if isinstance(self._own_head, SpeakingHead):
            sound = self._own_head.sound
            own["own_head_speech_model"] = self.param("own_head.speech_model")
            own["own_head_moves_by"] = "speech" if self._own_head.speaking else "itself"
            own["speech_voice"] = sound.speaking
            own["speech_latency_ms"] = f"{1e3 * self._own_head.latency_s:.1f}"
            own["speech_behind_ms"] = f"{1e3 * sound.behind_s:.1f}"
            own["speech_queued_s"] = f"{sound.queued_s:.2f}"
        return {**super().details(), **own}

    def _on_audio(self, message: AudioFrame) -> None:
        stamp = stamp_ns(message.header.stamp)
        self._hear(stamp, audio_samples(message), message.sample_rate, message.channels)

    def _hear(self, stamp: int, samples: NDArray[Any], rate: int, channels: int) -> None:
        """Sound of the people in view, as perception hears it."""
        if self._forecaster is None:
            return
        try:
            found = self._sound.accept(stamp, samples, rate, channels, self.now_ns())
        except BadAudio as error:
            self.warn(error.cause, f"dropped sound: {error}")
            return
        self.warn_of_new(self._sound.counts, _TEXTS, _QUIET)
        if found is not None:
            self._forecaster.hear(found.chunk, found.reset)

    def _on_speech(self, message: AudioFrame) -> None:
        """Sound of the robot's own voice."""
        if not isinstance(self._own_head, SpeakingHead):
            return
        stamp, samples = stamp_ns(message.header.stamp), audio_samples(message)
        queue = self._own_head.sound.queue
        try:
            queue.accept(stamp, samples, message.sample_rate, message.channels, self.now_ns())
        except BadAudio as error:
            self.warn(error.cause, f"dropped speech: {error}")
        self.warn_of_new(queue.counts, _TEXTS, _QUIET)

    def _tick_own_head(self, head: FreeHead | SpeakingHead) -> None:
        with self.times.stage("own_head"):
            motion = head.tick(self.now_ns(), self.param("own_head.person_id"))
        self.own_motion.send(motion)
        self.warn_of_new(head.counts, _TEXTS, _QUIET)
        if self._head_config is None:
            return
        if self._robot_head is None:
            names = ", ".join(joint.name for joint in self._head_config.joints)
            self.warn("no_joint_states", f"no trajectory before joint_states tells where {names} are")
            return
        described_anew = self._robot_head.config != self._head_config
        target = None if described_anew else motion.pose - head.rest
        trajectory = self._robot_head.observe(motion.stamp_ns, target)
        self._positions = dict(zip(trajectory.joint_names, trajectory.positions[0].tolist(), strict=True))
        self.joints.send(trajectory)
        self.warn_of_new(self._robot_head.counts, _TEXTS)
        if described_anew and trajectory.mode is HeadMode.STOPPED:
            self._robot_head = RobotHead(self._head_config, self._positions)

    def _on_joint_states(self, message: JointState) -> None:
        """Where the joints are at the start; later messages tell nothing that is needed."""
        if self._robot_head is not None or self._head_config is None:
            return
        try:
            positions = joint_positions(message)
            if all(joint.name in positions for joint in self._head_config.joints):
                self._robot_head = RobotHead(self._head_config, positions)
        except (BadMessage, ValueError) as error:
            self.warn("bad_joint_state", f"ignored a joint state: {error}")

    def _trajectory_message(self, trajectory: HeadTrajectory) -> JointTrajectory:
        return joint_trajectory_message(trajectory, on_arrival=self.param("robot_head.start_on_arrival"))


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    # The small networks of one tick gain nothing from more threads, and other nodes need the cores.
    torch.set_num_threads(1)
    sys.exit(run_node(HeadMotionNode, args))


if __name__ == "__main__":
    main()
