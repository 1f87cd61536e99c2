"""Parameters of every node, declared from one YAML file a node beside this module.

One file gives name, type, default, bounds and text, so that ``ros2 param describe``, the documentation
and the code cannot disagree. ``common.yaml`` holds what every node has.
"""

from __future__ import annotations

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
_INTEGER_LIMITS = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class ParameterSpec:
    """One declared parameter: ``type`` is bool, integer, double or string; bounds are inclusive."""

    name: str
    type: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """The ROS descriptor with type, text, range and choices."""
        text = self.description.strip()
        descriptor = ParameterDescriptor(
            name=self.name, type=_TYPES[self.type].value, description=text, read_only=self.read_only
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


def declare(node: Node, name: str) -> None:
    """Declare the parameters of ``<name>.yaml`` on ``node`` and check choices from then on.

    Raises:
        rclpy.exceptions.InvalidParameterTypeException, InvalidParameterValueException: an override
            has another type, or lies outside the range or the choices.
    """
    specs = {spec.name: spec for spec in load_specs(name)}

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            spec = specs.get(parameter.name)
            if spec and spec.choices and parameter.value not in spec.choices:
                reason = f"{parameter.name} is {parameter.value!r}, must be one of: {', '.join(spec.choices)}"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    for spec in specs.values():
        node.declare_parameter(spec.name, spec.default, spec.descriptor())
