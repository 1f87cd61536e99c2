"""What a node says on ``/diagnostics``: how fast, how late, what was dropped, and what does not come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter

if TYPE_CHECKING:
    from hmgen_ros.nodes.base import HmgenNode

_PERIOD = "diagnostics_period_s"
#: Seconds without a message on a topic that the node has nothing to do without, before that is told.
SILENCE_S = 5.0


class Diagnosis:
    """Publishes the state of one node by the clock."""

    def __init__(self, node: HmgenNode) -> None:
        """Begin.

        Args:
            node: whose parameters are declared.
        """
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady time: diagnostics go on when simulated time stands still.
        self._timer = node.create_timer(
            node.param(_PERIOD), self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        node.add_post_set_parameters_callback(self._set_period)
        self._last: tuple[float, dict[str, int]] = (time.monotonic(), {})
        #: When there was a message, by awaited topic.
        self._heard: dict[str, float] = {}
        self._told = ""

    def heard(self, topic: str) -> None:
        """Await a topic, from which there is a message now or will be."""
        self._heard[topic] = time.monotonic()

    def forget(self) -> None:
        """Await nothing any more."""
        self._heard.clear()

    def _set_period(self, parameters: list[Parameter[Any]]) -> None:
        if any(one.name == _PERIOD for one in parameters):
            self._timer.timer_period_ns = round(1e9 * self._node.param(_PERIOD))
            # Else the end of the present period would be waited for.
            self._timer.reset()

    def _input_trouble(self) -> str:
        """What is wrong with awaited topics, in a line, which is logged once; empty where nothing is."""
        said = self._silence() or self._rivals()
        if said and said != self._told:
            self._node.get_logger().warning(said)
        self._told = said
        return said

    def _silence(self) -> str:
        now = time.monotonic()
        silent = [(now - at, topic) for topic, at in list(self._heard.items()) if now - at > SILENCE_S]
        if not silent:
            return ""
        return f"nothing comes on {max(silent)[1]}: is that its name, and does somebody publish it?"

    def _rivals(self) -> str:
        """Messages of two publishers would be taken for those of one, now there and now elsewhere."""
        for topic in list(self._heard):
            publishers = self._node.count_publishers(topic)
            if publishers > 1:
                return f"{publishers} publishers mix on {topic}: stop all but one, or give them other names"
        return ""

    def _rates(self) -> dict[str, float]:
        """Messages a second since the last call, by topic."""
        now, sent = time.monotonic(), {output.topic: output.sent for output in self._node.outputs}
        (then, before), self._last = self._last, (now, sent)
        elapsed = max(now - then, 1e-9)
        return {topic: (count - before.get(topic, 0)) / elapsed for topic, count in sent.items()}

    def _publish(self) -> None:
        node, rates = self._node, self._rates()
        node.watch()
        trouble, recent = node.trouble() or self._input_trouble(), node.warned_recently()
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if recent or trouble else DiagnosticStatus.OK,
            name=node.get_fully_qualified_name(),
            message=trouble or ("dropping or repairing input" if recent else "running"),
            hardware_id="hmgen_ros",
        )
        values: dict[str, object] = {"messages_per_s": f"{sum(rates.values()):.1f}"}
        values |= {f"rate{topic}": f"{rate:.1f}" for topic, rate in rates.items()}
        if node.latency_ms.count:
            values["latency_p50_ms"] = f"{node.latency_ms.percentile(50):.1f}"
            values["latency_p99_ms"] = f"{node.latency_ms.percentile(99):.1f}"
        values |= node.details()
        values |= {f"count/{cause}": total for cause, total in sorted(node.counts.items())}
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = node.get_clock().now().to_msg()
        self._publisher.publish(array)
