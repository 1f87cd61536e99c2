"""All nodes in one process: the same nodes, topics and parameters, images handed over without copies.

A frame runs through perception in the thread that brought it, then through the predictors in a second
one, while the first goes on with the next frame: always in order, so that replay is deterministic.
Services, parameters and diagnostics have the executor's thread, drawing and recording threads of their own.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from functools import partial
from typing import Any

import torch
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

from hmgen_ros.nodes.annotator_node import AnnotatorNode
from hmgen_ros.nodes.base import OK, HmgenNode
from hmgen_ros.nodes.head_motion_node import HeadMotionNode
from hmgen_ros.nodes.interaction_node import InteractionNode
from hmgen_ros.nodes.media_node import MediaNode
from hmgen_ros.nodes.microphone_node import MicrophoneNode
from hmgen_ros.nodes.perception_node import PerceptionNode
from hmgen_ros.nodes.process import run_process
from hmgen_ros.nodes.recorder_node import RecorderNode
from hmgen_ros.nodes.worker import Worker
from hmgen_ros.timing import Window
from hmgen_ros.types import Frame, Scene

Overrides = dict[str, dict[str, Any]]


class Pipeline:
    """The wired nodes.

    Attributes:
        media, microphone, recorder: None where they were not asked for.
        perception, interaction, head_motion, annotator: always there.
        latency_ms: image stamp (with a source of ours played faster than real time: hand-over) to the
            last prediction published.
        people_seen: ids of everyone seen so far.
    """

    def __init__(
        self,
        overrides: Overrides | None = None,
        media: bool = False,
        microphone: bool = False,
        recorder: bool = False,
        media_time: bool = False,
    ) -> None:
        """Create and wire the nodes; rclpy must be initialised.

        Args:
            overrides: node name to parameter values that win over parameter files.
            media: with a media node; without, perception subscribes to a camera's topics.
            microphone: with a microphone node.
            recorder: with a recorder.
            media_time: time is that of the media node's source, as it is played faster than real time. The
                nodes ask it directly: a subscription to /clock would wake every one of them at every tick.
        """

        def make(kind: type[Any], name: str, local: bool) -> Any:
            values = (overrides or {}).get(name, {})
            return kind(local, [Parameter(key, value=value) for key, value in values.items()])

        self.media: MediaNode | None = make(MediaNode, "media_node", True) if media else None
        self.microphone: MicrophoneNode | None = (
            make(MicrophoneNode, "microphone_node", True) if microphone else None
        )
        self.perception: PerceptionNode = make(PerceptionNode, "perception_node", media)
        self.interaction: InteractionNode = make(InteractionNode, "interaction_node", True)
        self.head_motion: HeadMotionNode = make(HeadMotionNode, "head_motion_node", True)
        self.annotator: AnnotatorNode = make(AnnotatorNode, "annotator_node", media)
        self.recorder: RecorderNode | None = make(RecorderNode, "recorder_node", media) if recorder else None
        self.latency_ms = Window()
        self.people_seen: set[str] = set()
        self._handed_over: dict[int, int] = {}
        self._predictors = Worker("predictors", self._predict, self._failed)
        self._media_time = media_time
        if media_time and self.media is not None:
            source = self.media
            for node in self.nodes:
                node.now_ns, node.real_time = (lambda: source.position_ns), False
            # Nothing is in a hurry: slow drawing and writing slow down the source.
            self.annotator.lossless = True
            if self.recorder is not None:
                self.recorder.lossless = True
        self._wire()

    @property
    def nodes(self) -> list[HmgenNode]:
        """Every node, receivers before senders."""
        nodes = [
            self.recorder,
            self.annotator,
            self.head_motion,
            self.interaction,
            self.perception,
            self.microphone,
            self.media,
        ]
        return [node for node in nodes if node is not None]

    def _wire(self) -> None:
        perception = self.perception
        perceived = perception.people.listeners
        perceived.append(self._predictors.put)
        if self.microphone is not None:
            self.microphone.sound.listeners.append(partial(perception.receive, perception.hear))
        if self.media is not None:
            self._wire_view(self.media)
            self.media.sound.listeners.append(partial(perception.receive, perception.hear))
            self.media.frames.listeners.append(self._hand_over)
            self.media.frames.listeners.append(partial(perception.receive, perception.perceive))
        if self.media is not None and self.recorder is not None:
            self._wire_recorder(self.recorder, self.media)

    def _wire_view(self, media: MediaNode) -> None:
        def take(part: Any) -> None:
            self.annotator.receive(lambda _: self.annotator.take(part.stamp_ns, part), None)

        media.frames.listeners.append(take)
        self.perception.people.listeners.insert(0, take)
        self.interaction.actions.listeners.append(lambda value: take(value[0]))
        self.interaction.speaker.listeners.append(lambda value: take(value[0]))
        self.head_motion.motion.listeners.append(lambda value: take(value[0]))

    def _wire_recorder(self, recorder: RecorderNode, media: MediaNode) -> None:
        sound = self.microphone.sound if self.microphone is not None else media.sound
        for output in (
            media.compressed,
            sound,
            self.perception.people,
            self.interaction.actions,
            self.interaction.interaction,
            self.interaction.speaker,
            self.head_motion.motion,
        ):
            recorder.attach(output)
        self.annotator.annotated.listeners.append(recorder.add)
        sound.listeners.append(recorder.add)

    def _hand_over(self, frame: Frame) -> None:
        if len(self._handed_over) > 100:
            # Frames that made no tick leave theirs behind.
            self._handed_over.clear()
        self._handed_over[frame.stamp_ns] = time.monotonic_ns()

    def _predict(self, scene: Scene) -> None:
        self.interaction.receive(self.interaction.predict, scene)
        self.head_motion.receive(self.head_motion.predict, scene)
        self.people_seen.update(person.person_id for person in scene.people)
        # One key at a time: the other thread goes on adding.
        handed = self._handed_over.pop(scene.stamp_ns, None)
        if not self._media_time:
            self.latency_ms.add((self.perception.now_ns() - scene.stamp_ns) / 1e6)
        elif handed is not None:
            self.latency_ms.add((time.monotonic_ns() - handed) / 1e6)

    def _failed(self, trace: str) -> None:
        self.interaction.warn("internal_error", f"a defect behind the predictors:\n{trace}")

    def stop_sources(self) -> None:
        """End what feeds the pipeline, then wait until all that was perceived is predicted from."""
        senders: list[HmgenNode | None] = [self.media, self.microphone, self.perception]
        for node in senders:
            if node is not None and node.active:
                node.trigger_deactivate()
        self._predictors.close()

    def bring_up(self) -> bool:
        """Configure every node, then activate, receivers first."""
        configured = all(node.trigger_configure() is OK for node in self.nodes)
        return configured and all(node.trigger_activate() is OK for node in self.nodes)

    def shut_down(self) -> None:
        """End every node, senders first; :meth:`stop_sources` comes before."""
        for node in reversed(self.nodes):
            node.shut_down()

    def stages_ms(self) -> dict[str, float]:
        """Mean milliseconds of every stage of a tick."""
        return {
            **self.perception.stages_ms,
            **self.interaction.times.mean_ms(),
            **self.head_motion.times.mean_ms(),
        }

    def counts(self) -> dict[str, int]:
        """What was dropped, repaired or noticed, over all nodes."""
        total: dict[str, int] = {}
        for node in self.nodes:
            for cause, amount in node.counts.items():
                total[cause] = total.get(cause, 0) + amount
        return total

    def topics(self) -> dict[str, int]:
        """Messages published so far, by resolved topic name."""
        total: dict[str, int] = {}
        for output in (output for node in self.nodes for output in node.outputs):
            total[output.topic] = total.get(output.topic, 0) + output.sent
        return total


class Spinner:
    """Serves the nodes' services, timers and subscriptions in a thread; a context manager."""

    def __init__(self, nodes: list[HmgenNode]) -> None:
        self._executor = SingleThreadedExecutor()
        for node in nodes:
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name="executor", daemon=True)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def __enter__(self) -> Spinner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(timeout=5.0)


def _arguments(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="single_process", description=__doc__)
    parser.add_argument("--source", help='play this file, "webcam:0" or "bundled" instead of camera topics')
    parser.add_argument("--microphone", action="store_true", help="listen to a microphone of this machine")
    return parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])


def _serve(options: argparse.Namespace, ended: threading.Event) -> int:
    source = {"media_node": {"source": options.source}} if options.source else {}
    pipeline = Pipeline(source, media=bool(options.source), microphone=options.microphone)
    if pipeline.media is not None:
        pipeline.media.on_end = ended.set
    with Spinner(pipeline.nodes):
        # Without autostart somebody else drives the lifecycle of each node.
        if pipeline.perception.param("autostart") and not pipeline.bring_up():
            return 2
        ended.wait()
        pipeline.stop_sources()
        pipeline.shut_down()
    return 0


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable: all nodes, on a robot's own camera topics or on a source of ours."""
    options = _arguments(args)
    torch.set_num_threads(1)
    sys.exit(run_process(partial(_serve, options), args))


if __name__ == "__main__":
    main()
