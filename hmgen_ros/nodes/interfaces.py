"""Topics, services and actions of every node, from one YAML file beside this module; needs no ROS.

The documentation's tables and the security policy are made of it, and a test holds it against the running
nodes, so that none of the three can disagree with the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

#: Stands for the id of a person, a face or a voice in the name of a topic.
ANY_ID = "<id>"

#: What every lifecycle node has besides: topics it publishes and subscribes to, and services it answers.
COMMON_PUBLISHED = ("/diagnostics", "/parameter_events", "/rosout", "~/transition_event")
COMMON_SUBSCRIBED = ("/clock",)
COMMON_SERVICES = (
    "~/change_state",
    "~/describe_parameters",
    "~/get_available_states",
    "~/get_available_transitions",
    "~/get_parameter_types",
    "~/get_parameters",
    "~/get_state",
    "~/get_transition_graph",
    "~/get_type_description",
    "~/list_parameters",
    "~/set_parameters",
    "~/set_parameters_atomically",
)


@dataclass(frozen=True)
class Interface:
    """One topic, service or action of a node.

    Attributes:
        name: relative unless it begins with ``/``; ``~/`` is the node's own. :data:`ANY_ID` in it stands for
            an id: there is one such topic for each.
        type: ``package/msg/Name``, ``package/srv/Name`` or ``package/action/Name``.
        text: what it carries.
        rate: how often it is published, "" for what is not.
        when: parameter or condition without which it is not there, "" for none.
    """

    name: str
    type: str
    text: str
    rate: str = ""
    when: str = ""


@dataclass(frozen=True)
class NodeInterfaces:
    """What one node says to others.

    Attributes:
        node: name of the node.
        text: what it does, one sentence.
        publishes, subscribes, services, actions: in the order of the file.
    """

    node: str
    text: str
    publishes: tuple[Interface, ...] = ()
    subscribes: tuple[Interface, ...] = ()
    services: tuple[Interface, ...] = ()
    actions: tuple[Interface, ...] = ()


def load_interfaces() -> list[NodeInterfaces]:
    """Every node, in the order of the file."""
    nodes = yaml.safe_load((files(__package__) / "interfaces.yaml").read_text(encoding="utf-8"))
    return [_node(name, **entries) for name, entries in nodes.items()]


def absolute(name: str, node: str, namespace: str = "/") -> str:
    """The full name of a topic or service.

    Args:
        name: as in :class:`Interface`.
        node: whose it is.
        namespace: of the node.
    """
    if name.startswith("/"):
        return name
    inner = f"{node}/{name[2:]}" if name.startswith("~/") else name
    return f"{namespace.rstrip('/')}/{inner}"


def _node(name: str, text: str, **kinds: dict[str, dict[str, Any]]) -> NodeInterfaces:
    found = {
        kind: tuple(Interface(key, **one) for key, one in entries.items()) for kind, entries in kinds.items()
    }
    return NodeInterfaces(name, text, **found)
