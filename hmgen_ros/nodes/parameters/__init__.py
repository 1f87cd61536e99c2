"""Parameters of every node, declared from one YAML file a node beside this module.

One file gives name, type, default, bounds and text, so that ``ros2 param describe``, the documentation
and the code cannot disagree. ``common.yaml`` holds what every node has.

``change`` says when a parameter can be set: ``live``, at any time; ``inactive``, unless the node is active,
as it is taken at activation; ``unconfigured``, before the node is configured, as models or files depend on
it; ``start``, never after the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

_TYPES: dict[str, Parameter.Type] = {
    "bool": Parameter.Type.BOOL,
    "integer": Parameter.Type.INTEGER,
    "double": Parameter.Type.DOUBLE,
    "string": Parameter.Type.STRING,
}
#: When a parameter can be set, and what its description says of that.
CHANGES = {
    "live": "Takes effect at once.",
    "inactive": "Can be set unless the node is active.",
    "unconfigured": "Can be set while the node is unconfigured.",
    "start": "Set at the start only.",
}
_INTEGER_LIMITS = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class ParameterSpec:
    """One declared parameter.

    Attributes:
        name: as users write it.
        type: bool, integer, double or string.
        default: of that type.
        description: sentences.
        change: when it can be set, a key of :data:`CHANGES`.
        minimum, maximum: inclusive.
        choices: all values that a string can have; any where empty.
    """

    name: str
    type: str
    default: Any
    description: str
    change: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """The ROS descriptor with type, text, range and choices."""
        descriptor = ParameterDescriptor(
            name=self.name,
            type=_TYPES[self.type].value,
            description=f"{self.description.strip()} {CHANGES[self.change]}",
            read_only=self.change == "start",
        )
        if self.choices:
            descriptor.additional_constraints = "one of: " + ", ".join(self.choices)
        if self.minimum is None and self.maximum is None:
            return descriptor
        if self.type == "integer":
            low = _INTEGER_LIMITS[0] if self.minimum is None else int(self.minimum)
            high = _INTEGER_LIMITS[1] if self.maximum is None else int(self.maximum)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
        else:
            low_f = -1e308 if self.minimum is None else float(self.minimum)
            high_f = 1e308 if self.maximum is None else float(self.maximum)
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=low_f, to_value=high_f, step=0.0)
            ]
        return descriptor


def load_specs(node: str) -> list[ParameterSpec]:
    """Every parameter of a node, e.g. ``load_specs("media_node")``, its own before the common ones."""
    specs = []
    for name in (node, "common"):
        entries = yaml.safe_load((files(__package__) / f"{name}.yaml").read_text())
        specs += [
            ParameterSpec(name=key, **{**entry, "choices": tuple(entry.get("choices", ()))})
            for key, entry in entries.items()
        ]
    return specs


def declare(node: Node, name: str) -> dict[str, ParameterSpec]:
    """Declare the parameters of ``<name>.yaml`` on ``node`` and check each by itself from then on.

    Returns:
        What was declared, by name.

    Raises:
        rclpy.exceptions.InvalidParameterTypeException, InvalidParameterValueException: an override
            has another type, or lies outside the range or the choices.
    """
    specs = {spec.name: spec for spec in load_specs(name)}

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            spec = specs.get(parameter.name)
            reason = "" if spec is None else _fault(spec, parameter.value)
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    for spec in specs.values():
        node.declare_parameter(spec.name, spec.default, spec.descriptor())
    return specs


def _fault(spec: ParameterSpec, value: Any) -> str:
    """What is wrong with a value of the declared type and within its range; empty where nothing is."""
    if spec.choices and value not in spec.choices:
        return f"{spec.name} is {value!r}, must be one of: {', '.join(spec.choices)}"
    # Without bounds nothing else keeps it out.
    if isinstance(value, float) and not math.isfinite(value):
        return f"{spec.name} is {value}, must be a number"
    return ""
