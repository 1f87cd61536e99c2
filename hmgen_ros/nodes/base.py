"""What all nodes share: lifecycle, parameters, counted warnings, diagnostics, one main.

A node's own work happens between ``setup`` (load and warm), ``start`` (subscribe, open devices),
``stop`` (release devices) and ``teardown`` (free memory); the lifecycle calls them under one lock, so
that a transition never races a running callback.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from hmgen_ros.nodes.diagnosis import Diagnosis
from hmgen_ros.nodes.memory import give_back, settle
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.parameters import declare
from hmgen_ros.nodes.reconfiguration import Reconfiguration
from hmgen_ros.timing import Window
from hmgen_ros.types import Counts

#: Seconds during which the same cause is warned about once.
WARNING_PERIOD_S = 5.0

OK, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SetupError(Exception):
    """A node cannot be configured or activated; the text is one line that says what to do."""


class HmgenNode(LifecycleNode):
    """Base of every node.

    Attributes:
        counts: what was dropped, repaired or noticed, by cause.
        latency_ms: stamp of the input to publication of the output, milliseconds.
        outputs: every outgoing topic.
        local: inputs come by direct calls from nodes in this process; nothing is subscribed.
        on_end: called when a source has nothing more to give.
        now_ns: present time of the clock that stamps follow, nanoseconds; the node's ROS time unless the
            nodes of one process follow the source they play.
        real_time: that time runs by itself, so that being slow has a price; not in simulated time.
    """

    def __init__(self, name: str, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """Declare the parameters of ``<name>.yaml``.

        Args:
            name: node name and name of its parameter file.
            local: wired by direct calls instead of subscriptions.
            overrides: parameter values that win over the defaults and are won over by none.
        """
        self.lock = threading.RLock()
        super().__init__(name, parameter_overrides=overrides or [])
        self._specs = declare(self, name)
        self.local = local
        self.counts = Counts()
        self.latency_ms = Window()
        self.outputs: list[Output[Any]] = []
        self.on_end: Callable[[], None] = lambda: None
        self.now_ns: Callable[[], int] = lambda: self.get_clock().now().nanoseconds
        self.real_time = not self.param("use_sim_time")
        self.active = False
        self._inputs: list[Subscription[Any]] = []
        self._warned: dict[str, float] = {}
        self._reported: WeakKeyDictionary[Counts, dict[str, int]] = WeakKeyDictionary()
        Reconfiguration(self, self._specs)
        self._diagnosis = Diagnosis(self)

    def param(self, name: str) -> Any:
        """Present value of a declared parameter."""
        return self.get_parameter(name).value

    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        """As rclpy has it, between two ticks and beside no transition."""
        with self.lock:
            return super().set_parameters_atomically(parameter_list)

    def lifecycle_state(self) -> str:
        """Where the node is in its lifecycle: unconfigured, inactive, active, finalized, or on the way."""
        return str(self._state_machine.current_state[1])

    def adjustment(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """What makes parts of a configured node go by other values of its parameters; see Reconfiguration.

        Args:
            values: of every parameter, as they are to be.

        Raises:
            ValueError: they do not go together. Nothing has been changed.
        """
        return lambda: None

    def values(self) -> dict[str, Any]:
        """Present value of every parameter of this node's, by name."""
        return {name: self.param(name) for name in self._specs}

    def add_output(self, output: Output[Any]) -> Output[Any]:
        """Count this topic in diagnostics and summaries."""
        self.outputs.append(output)
        return output

    # What a node brings -------------------------------------------------------------------------

    def setup(self) -> None:
        """Load models and allocate. Raises SetupError."""

    def start(self) -> None:
        """Subscribe and open devices. Raises SetupError."""
        self.active = True

    def stop(self) -> None:
        """Close devices and unsubscribe."""
        self.active = False
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        self._diagnosis.forget()

    def teardown(self) -> None:
        """Free what setup took."""

    def details(self) -> dict[str, object]:
        """More lines for diagnostics, name to value."""
        return {}

    def trouble(self) -> str:
        """What keeps this node from its work now, one line for diagnostics; empty where nothing does."""
        return ""

    def watch(self) -> None:
        """Called before each diagnosis: to count and warn of what no input brings along."""

    def subscribe(
        self,
        message_type: type[Any],
        topic: str,
        qos: QoSProfile,
        work: Callable[[Any], None],
        raw: bool = False,
        awaited: bool = False,
    ) -> None:
        """Call ``work`` with each message (``raw``: its bytes), until the node is deactivated.

        Without an ``awaited`` topic the node has nothing to do: that nothing comes is told.
        """
        callback = partial(self.receive, work)
        if awaited:
            name = self.resolve_topic_name(topic)
            self._diagnosis.heard(name)
            callback = partial(self._receive_awaited, name, work)
        self._inputs.append(self.create_subscription(message_type, topic, callback, qos, raw=raw))

    def receive(self, work: Callable[[Any], None], value: Any) -> None:
        """Run ``work(value)`` while the node is active; a defect in it is logged, not fatal.

        This is the last line of defence of a node that others rely on: whatever nobody foresaw is
        counted as ``internal_error`` with its traceback, and the next message gets its chance.
        """
        with self.lock:
            if not self.active:
                return
            try:
                work(value)
            except Exception:
                self.warn("internal_error", f"a defect in {self.get_name()}:\n{traceback.format_exc()}")

    def _receive_awaited(self, topic: str, work: Callable[[Any], None], value: Any) -> None:
        self._diagnosis.heard(topic)
        self.receive(work, value)

    # Lifecycle ----------------------------------------------------------------------------------

    def _transition(self, work: Callable[[], None], state: LifecycleState) -> TransitionCallbackReturn:
        with self.lock:
            try:
                work()
            except SetupError as error:
                self.get_logger().error(str(error))
                return FAILED
            except Exception:
                # rclpy would swallow it without a word.
                self.get_logger().error(f"a defect in a transition:\n{traceback.format_exc()}")
                return FAILED
        return OK

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the models; where that fails, nothing of them stays."""
        result = self._transition(self.setup, state)
        if result is OK:
            settle()
        else:
            self._transition(self.teardown, state)
            give_back()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable publication, then subscribe."""
        enabled = super().on_activate(state)
        result = self._transition(self.start, state)
        if result is not OK:
            self._transition(self.stop, state)
            super().on_deactivate(state)
        return result if enabled is OK else enabled

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release devices and subscriptions; models stay loaded."""
        self._transition(self.stop, state)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return the memory that configuring took."""
        result = self._transition(self.teardown, state)
        give_back()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything from whichever state."""
        self._transition(self.stop, state)
        return self._transition(self.teardown, state)

    def bring_up(self) -> bool:
        """Configure and activate; False (with the reason logged) when either fails."""
        return self.trigger_configure() is OK and self.trigger_activate() is OK

    def shut_down(self) -> None:
        """Shut down from whichever state, unless somebody else has done so already."""
        if self.lifecycle_state() != "finalized":
            self.trigger_shutdown()

    def destroy_node(self) -> None:
        """Leave the graph at once.

        What rclpy's lifecycle holds of a node would else keep it, with some of its topics, in the graph of
        others until it is collected as garbage.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    # Telling ------------------------------------------------------------------------------------

    def warn(self, cause: str, text: str, amount: int = 1) -> None:
        """Count ``cause`` and log ``text`` at most once in WARNING_PERIOD_S per cause."""
        self.counts.add(cause, amount)
        now = time.monotonic()
        if now - self._warned.get(cause, -math.inf) >= WARNING_PERIOD_S:
            self._warned[cause] = now
            self.get_logger().warning(f"{text} [{cause}: {self.counts[cause]} so far]")

    def warned_recently(self) -> bool:
        """Whether there was a cause to warn within WARNING_PERIOD_S."""
        now = time.monotonic()
        return any(now - at < WARNING_PERIOD_S for at in list(self._warned.values()))

    def warn_of_new(self, counts: Counts, texts: dict[str, str], quiet: Collection[str] = ()) -> None:
        """Take over what grew in ``counts`` since the last call.

        Args:
            counts: counters of a part of the node.
            texts: what to say of a cause; others are named as they are.
            quiet: causes that are counted without a warning.
        """
        reported = self._reported.setdefault(counts, {})
        for cause, total in counts.items():
            grown = total - reported.get(cause, 0)
            if grown <= 0:
                continue
            reported[cause] = total
            if cause in quiet:
                self.counts.add(cause, grown)
            else:
                self.warn(cause, texts.get(cause, cause.replace("_", " ")), grown)

    def observe_latency(self, stamp_ns: int) -> None:
        """Measure from ``stamp_ns`` to now."""
        self.latency_ms.add((self.now_ns() - stamp_ns) / 1e6)
