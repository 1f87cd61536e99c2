"""The SROS2 policy of all nodes: each may do what :mod:`hmgen_ros.nodes.interfaces` says, and nothing else.

An enclave holds the keys of a process. Each node has one of its own, and ``single_process`` one for all but
``hri_node``, which always has a process to itself.

Topics of ROS4HRI bear ids that nobody knows beforehand. DDS-Security matches names of topics by ``fnmatch``,
so the id, and only the id, is a pattern: where we publish, ids as perception makes them; where we subscribe,
any, as they are another perception's.
"""

from __future__ import annotations

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
#: Ids of our own perception, and anybody's, as patterns of ``fnmatch``.
OWN_IDS, OTHERS_IDS = "[a-z]" * ID_LENGTH, "*"
_APART = "hri_node"


@dataclass(frozen=True)
class PolicyOptions:
    """Options of ``hmgen security-policy``.

    Attributes:
        namespace: of all nodes, as given to the launch file.
        enclaves: path below which the nodes' enclaves lie.
        remap: topics that go by other names, each as ``image_raw=/camera/image_raw``.
        out: file to write; standard output where none is given.
    """

    namespace: str = ""
    enclaves: str = "/hmgen_ros"
    remap: tuple[str, ...] = ()
    out: Path | None = None


def policy(namespace: str = "", enclaves: str = "/hmgen_ros", remap: Mapping[str, str] | None = None) -> str:
    """The policy as XML.

    Args:
        namespace: of all nodes, "" or "/" for none.
        enclaves: path below which the nodes' enclaves lie, such as ``/hmgen_ros``.
        remap: name of a topic in ``interfaces.yaml`` to that it goes by.
    """
    ns = "/" + namespace.strip("/")
    root = Xml.Element("policy", version=VERSION)
    inside = Xml.SubElement(root, "enclaves")
    nodes = load_interfaces()
    together = [node for node in nodes if node.node != _APART]
    for enclave, members in [*((node.node, [node]) for node in nodes), (SINGLE_PROCESS, together)]:
        path = f"/{enclaves.strip('/')}/{enclave}".replace("//", "/")
        profiles = Xml.SubElement(Xml.SubElement(inside, "enclave", path=path), "profiles")
        for node in members:
            _profile(profiles, node, ns, remap or {})
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_policy(options: PolicyOptions) -> None:
    """Write the policy to a file or to standard output.

    Raises:
        ValueError: an entry of ``remap`` is not ``name=other``, or names no topic of ours.
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
    text = policy(options.namespace, options.enclaves, remap)
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.write_text(text, encoding="utf-8")


def _profile(profiles: Xml.Element, node: NodeInterfaces, ns: str, remap: Mapping[str, str]) -> None:
    profile = Xml.SubElement(profiles, "profile", ns=ns, node=node.node)

    def allow(kind: str, right: str, names: Iterable[str]) -> None:
        full = {absolute(remap.get(name, name), node.node, ns) for name in names}
        ids = OWN_IDS if right == "publish" else OTHERS_IDS
        wanted = sorted(name.replace(ANY_ID, ids) for name in full)
        if wanted:
            listed = Xml.SubElement(profile, f"{kind}s", {right: "ALLOW"})
            for name in wanted:
                Xml.SubElement(listed, kind).text = name

    allow("topic", "publish", [*(i.name for i in node.publishes), *COMMON_PUBLISHED])
    allow("topic", "subscribe", [*(i.name for i in node.subscribes), *COMMON_SUBSCRIBED])
    allow("service", "reply", [*(i.name for i in node.services), *COMMON_SERVICES])
    allow("action", "execute", [i.name for i in node.actions])
