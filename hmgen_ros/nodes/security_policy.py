"""The SROS2 policy of all nodes: each may do what :mod:`hmgen_ros.nodes.interfaces` says, and nothing else.

An enclave holds the keys of a process. Each node has one of its own, and ``single_process`` one for all but
``hri_node``, which always has a process to itself.

A node may publish and serve whatever lies below its own name: parameters, transitions, actions. That is one
pattern in place of some forty names, because processes show each other their permissions when they meet, and
Fast DDS up to 3.2.2 cannot send more than six kilobytes of them.

Topics of ROS4HRI bear ids that nobody knows beforehand. DDS-Security matches names of topics by ``fnmatch``,
so there the id, and only the id, is a pattern: where we publish, ids as perception makes them; where we
subscribe, any, as they are another perception's.

A planner, a program of the user's that goes by the forecasts, may hear what perception, the predictors and
the recorder tell, no picture and no sound, and ask what they answer; it can neither configure nor stop them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

from hmgen_ros.nodes.interfaces import (
    ANY_ID,
    COMMON_PUBLISHED,
    COMMON_SERVICES,
    COMMON_SUBSCRIBED,
    NodeInterfaces,
    absolute,
    load_interfaces,
)
from hmgen_ros.perception.track import ID_LENGTH

#: Of the policy format.
VERSION = "0.2.0"
SINGLE_PROCESS = "single_process"
#: Whatever lies below a node's own name.
OWN = "~/*"
#: Ids of our own perception, and anybody's, as patterns of ``fnmatch``.
OWN_IDS, OTHERS_IDS = "[a-z]" * ID_LENGTH, "*"
_APART = "hri_node"
#: Whom a planner hears and asks.
_TELL_PLANNERS = ("perception_node", "interaction_node", "head_motion_node", "recorder_node")


@dataclass(frozen=True)
class PolicyOptions:
    """Options of ``hmgen security-policy``.

    Attributes:
        namespace: of all nodes, as given to the launch file.
        enclaves: path below which the nodes' enclaves lie.
        remap: topics that go by other names, each as ``image_raw=/camera/image_raw``.
        planner: names of nodes of one's own that go by the forecasts; each gets an enclave.
        out: file to write; standard output where none is given.
    """

    namespace: str = ""
    enclaves: str = "/hmgen_ros"
    remap: tuple[str, ...] = ()
    planner: tuple[str, ...] = ()
    out: Path | None = None


def policy(
    namespace: str = "",
    enclaves: str = "/hmgen_ros",
    remap: Mapping[str, str] | None = None,
    planners: Iterable[str] = (),
) -> str:
    """The policy as XML.

    Args:
        namespace: of all nodes, "" or "/" for none.
        enclaves: path below which the nodes' enclaves lie, such as ``/hmgen_ros``.
        remap: name of a topic in ``interfaces.yaml`` to that it goes by.
        planners: names of the nodes of planners.
    """
    ns = "/" + namespace.strip("/")
    root = Xml.Element("policy", version=VERSION)
    inside = Xml.SubElement(root, "enclaves")
    nodes = load_interfaces()
    together = [node for node in nodes if node.node != _APART]
    for enclave, members in [*((node.node, [node]) for node in nodes), (SINGLE_PROCESS, together)]:
        profiles = _profiles(inside, enclaves, enclave)
        for node in members:
            _add_node(_Profile(profiles, node.node, ns, remap or {}), node)
    for planner in planners:
        _add_planner(_Profile(_profiles(inside, enclaves, planner), planner, ns, remap or {}), nodes)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_policy(options: PolicyOptions) -> None:
    """Write the policy to a file or to standard output.

    Raises:
        ValueError: an entry of ``remap`` is not ``name=other``, or names no topic of ours; the name of a
            planner is none of a node, or one of ours.
    """
    known = {i.name for node in load_interfaces() for i in (*node.publishes, *node.subscribes)}
    remap = {}
    for entry in options.remap:
        name, equals, other = entry.partition("=")
        if not (equals and other) or name not in known:
            raise ValueError(
                f"--remap {entry}: write it as image_raw=/camera/image_raw; known: {', '.join(sorted(known))}"
            )
        remap[name] = other
    ours = {SINGLE_PROCESS, *(node.node for node in load_interfaces())}
    for name in options.planner:
        if name in ours or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(
                f"--planner {name}: name a node of yours, such as turn_taker; not {', '.join(sorted(ours))}"
            )
    text = policy(options.namespace, options.enclaves, remap, options.planner)
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.write_text(text, encoding="utf-8")


def _profiles(inside: Xml.Element, enclaves: str, enclave: str) -> Xml.Element:
    """What may be done with the keys of one more enclave."""
    path = f"/{enclaves.strip('/')}/{enclave}".replace("//", "/")
    return Xml.SubElement(Xml.SubElement(inside, "enclave", path=path), "profiles")


class _Profile:
    """The rights of one node, each kind of them listed by full names."""

    def __init__(self, profiles: Xml.Element, node: str, ns: str, remap: Mapping[str, str]) -> None:
        self._element = Xml.SubElement(profiles, "profile", ns=ns, node=node)
        self._node, self._ns, self._remap = node, ns, remap

    def full(self, name: str, node: str) -> str:
        """The name that a topic, service or action of a node goes by."""
        return absolute(self._remap.get(name, name), node, self._ns)

    def allow(self, kind: str, right: str, names: Iterable[str]) -> None:
        """Allow names of this node's, or full ones; what it tells below its own name is one pattern."""
        ids = OWN_IDS if right == "publish" else OTHERS_IDS
        names = [self._remap.get(name, name) for name in names]
        if right in ("publish", "reply"):
            names = [OWN if name.startswith("~/") else name for name in names]
        wanted = sorted({absolute(name, self._node, self._ns).replace(ANY_ID, ids) for name in names})
        if wanted:
            listed = Xml.SubElement(self._element, f"{kind}s", {right: "ALLOW"})
            for name in wanted:
                Xml.SubElement(listed, kind).text = name


def _add_node(profile: _Profile, node: NodeInterfaces) -> None:
    # Actions are topics and services below their names, which are below the node's.
    acted = [i.name for i in node.actions]
    profile.allow("topic", "publish", [*(i.name for i in node.publishes), *acted, *COMMON_PUBLISHED])
    profile.allow("topic", "subscribe", [*(i.name for i in node.subscribes), *COMMON_SUBSCRIBED])
    profile.allow("service", "reply", [*(i.name for i in node.services), *acted, *COMMON_SERVICES])


def _add_planner(profile: _Profile, nodes: Iterable[NodeInterfaces]) -> None:
    told = [node for node in nodes if node.node in _TELL_PLANNERS]
    profile.allow("topic", "publish", [OWN, "/parameter_events", "/rosout"])
    heard = [profile.full(i.name, node.node) for node in told for i in node.publishes]
    profile.allow("topic", "subscribe", [*heard, "/diagnostics", *COMMON_SUBSCRIBED])
    profile.allow("service", "reply", [OWN])
    profile.allow("service", "request", [profile.full(i.name, n.node) for n in told for i in n.services])
    profile.allow("action", "call", [profile.full(i.name, n.node) for n in told for i in n.actions])
