"""The definitions of ROS 2's messages and ours as the rosbags library wants them; needs no ROS."""

from __future__ import annotations

from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hmgen_ros.resources import PACKAGE, resource


def typestore() -> Typestore:
    """ROS 2 Kilted's message types and ours, from the ``.msg`` files that travel with the package."""
    store = get_typestore(Stores.ROS2_KILTED)
    definitions: dict[str, Any] = {}
    for path in sorted(resource("msg").glob("*.msg")):
        definitions |= get_types_from_msg(path.read_text(), f"{PACKAGE}/msg/{path.stem}")
    store.register(definitions)
    return store
