"""Parameters that are set while a node runs: refused as a whole, or in effect as a whole at the next tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from hmgen_ros.nodes.parameters import ParameterSpec

#: The states of the lifecycle in which a parameter can be set, where not in any, and how to get there.
_STATES = {
    "inactive": (("unconfigured", "inactive"), "deactivate it first"),
    "unconfigured": (("unconfigured",), "clean it up first, and configure it again afterwards"),
}
#: States in which there is something that goes by the parameters.
_CONFIGURED = ("inactive", "active")


class Adjustable(Protocol):
    """A node with a lifecycle whose parts follow its parameters."""

    def lifecycle_state(self) -> str:
        """Where it is in its lifecycle, such as ``active``; something else during transitions."""

    def values(self) -> dict[str, Any]:
        """Present value of every parameter, by name."""

    def adjustment(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """What puts the values of all parameters into effect; raises ValueError where they clash."""

    def add_on_set_parameters_callback(
        self, callback: Callable[[list[Parameter[Any]]], SetParametersResult]
    ) -> None:
        """As rclpy has it."""

    def add_post_set_parameters_callback(self, callback: Callable[[list[Parameter[Any]]], None]) -> None:
        """As rclpy has it."""


class Reconfiguration:
    """Watches over the parameters of a node from its making on.

    While the node is unconfigured anything can be set in any order, for configuring looks at all of it; from
    then on what is set together has to go together with everything else. The node sees to it that no tick and
    no transition runs meanwhile.
    """

    def __init__(self, node: Adjustable, specs: Mapping[str, ParameterSpec]) -> None:
        """Watch.

        Args:
            node: all of whose parameters are declared.
            specs: those parameters, by name.
        """
        self._node, self._specs = node, specs
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _check(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        state, present = self._node.lifecycle_state(), self._node.values()
        changed = [one for one in parameters if one.name in present and one.value != present[one.name]]
        for one in changed:
            spec = self._specs[one.name]
            allowed, remedy = _STATES.get(spec.change, ((state,), ""))
            if state not in allowed:
                when = " or ".join(allowed)
                return _refused(f"{one.name} can be set while the node is {when}; it is {state}: {remedy}")
        if state not in _CONFIGURED:
            return SetParametersResult(successful=True)
        try:
            self._node.adjustment(present | {one.name: one.value for one in changed})
        except (ValueError, OverflowError) as error:
            return _refused(str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter[Any]]) -> None:
        if self._node.lifecycle_state() in _CONFIGURED:
            self._node.adjustment(self._node.values())()


def _refused(reason: str) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason)
