"""Behaviour trees that react to people: conditions and decorators for py_trees, the extra ``behaviours``.

Nothing here knows ROS: :class:`~hmgen_ros.behaviours.blackboard.ReadConversation` takes what is known from a
callable, which :class:`hmgen_ros.nodes.conversation_topics.ConversationTopics` is for topics. See
``docs/behaviour_trees.md``.
"""

try:
    import py_trees  # noqa: F401
except ImportError as error:
    raise ImportError("behaviour trees need py_trees: pip install 'hmgen_ros[behaviours]'") from error

from hmgen_ros.behaviours.blackboard import Keys, ReadConversation
from hmgen_ros.behaviours.conditions import (
    AboutToPause,
    AboutToSpeak,
    FloorIsFree,
    IsAddressed,
    IsLaughing,
    ShouldYield,
)
from hmgen_ros.behaviours.decorators import FreshOnly, Latched, YieldTheFloor
from hmgen_ros.behaviours.person_condition import Options, PersonCondition
from hmgen_ros.behaviours.signals import Snapshot

__all__ = [
    "AboutToPause",
    "AboutToSpeak",
    "FloorIsFree",
    "FreshOnly",
    "IsAddressed",
    "IsLaughing",
    "Keys",
    "Latched",
    "Options",
    "PersonCondition",
    "ReadConversation",
    "ShouldYield",
    "Snapshot",
    "YieldTheFloor",
]
