#!/usr/bin/env python3
"""A robot that takes turns in a conversation: when it would speak, nod, and stop for somebody else.

Play the recording that ships with the package, or a camera, in one terminal and run the tree in another:

    hmgen run --loop
    python3 examples/turn_taking_tree.py

Decisions are printed and published as text on ``turn_taking/decision``; a robot would start and stop its
speech there. Names, namespace and clock are set as of any node: ``--ros-args -r __ns:=/robot1``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import py_trees
import rclpy
from py_trees.common import Access, Status
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from std_msgs.msg import String

from hmgen_ros.behaviours import (
    AboutToPause,
    FloorIsFree,
    IsAddressed,
    Keys,
    ReadConversation,
    YieldTheFloor,
)
from hmgen_ros.nodes.conversation_topics import ConversationTopics
from hmgen_ros.nodes.process import prepare_process

#: What the robot says takes so long, s; between two nods there are at least so many.
SENTENCE_S, NOD_PAUSE_S = 2.0, 3.0
#: Told of a decision and of whom it is about.
Tell = Callable[[str, str], None]


class Say(py_trees.behaviour.Behaviour):
    """Speaks: RUNNING until the sentence is over. Stopped before its end, the robot falls silent."""

    def __init__(self, name: str, tell: Tell) -> None:
        super().__init__(name)
        self._tell, self._until_ns = tell, 0
        self._blackboard = self.attach_blackboard_client(name)
        for key in (Keys.NOW_NS, Keys.ADDRESSED_BY, Keys.YIELD_TO):
            self._blackboard.register_key(key, Access.READ)

    def initialise(self) -> None:
        """Begin the sentence."""
        self._until_ns = self._blackboard.get(Keys.NOW_NS) + round(SENTENCE_S * 1e9)
        self._tell("speak", self._blackboard.get(Keys.ADDRESSED_BY))

    def update(self) -> Status:
        """Whether the sentence is over."""
        return Status.SUCCESS if self._blackboard.get(Keys.NOW_NS) >= self._until_ns else Status.RUNNING

    def terminate(self, new_status: Status) -> None:
        """Stop speaking where the sentence is not over."""
        if self.status is not Status.RUNNING:
            return
        if new_status is Status.INVALID:
            to = self._blackboard.get(Keys.YIELD_TO) if self._blackboard.exists(Keys.YIELD_TO) else ""
            self._tell("yield", to)
        else:
            self._tell("done", "")


class Nod(py_trees.behaviour.Behaviour):
    """Says "I am listening" with a nod, but not all the time."""

    def __init__(self, name: str, tell: Tell) -> None:
        super().__init__(name)
        self._tell, self._last_ns = tell, 0
        self._blackboard = self.attach_blackboard_client(name)
        for key in (Keys.NOW_NS, Keys.ABOUT_TO_PAUSE):
            self._blackboard.register_key(key, Access.READ)

    def update(self) -> Status:
        """Nod, unless the last nod was a moment ago."""
        now_ns = self._blackboard.get(Keys.NOW_NS)
        # Time may have gone back: a recording that begins again.
        if 0 <= now_ns - self._last_ns < NOD_PAUSE_S * 1e9:
            return Status.FAILURE
        self._last_ns = now_ns
        self._tell("backchannel", self._blackboard.get(Keys.ABOUT_TO_PAUSE))
        return Status.SUCCESS


def turn_taking(source: ConversationTopics, tell: Tell) -> py_trees.behaviour.Behaviour:
    """The tree: answer who has spoken to the robot and waits; else nod where somebody pauses; else listen."""
    answer = py_trees.composites.Sequence("answer", memory=True)
    answer.add_children(
        [
            IsAddressed("is addressed"),
            FloorIsFree("the floor is free"),
            YieldTheFloor("unless somebody takes the floor", Say("say it", tell)),
        ]
    )
    listen = py_trees.composites.Sequence("show attention", memory=False)
    listen.add_children([AboutToPause("is about to pause", within_s=1.0, probability=0.4), Nod("nod", tell)])
    act = py_trees.composites.Selector("act", memory=False)
    act.add_children([answer, listen, py_trees.behaviours.Running("listen")])
    root = py_trees.composites.Sequence("turn taking", memory=False)
    root.add_children([ReadConversation("who is there", source), act])
    return root


def main() -> None:
    """Tick the tree with every message about people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    options = parser.parse_args(remove_ros_args(sys.argv)[1:])
    prepare_process()
    rclpy.init()
    node = Node("turn_taking")
    decisions = node.create_publisher(String, "turn_taking/decision", 10)
    started_ns = node.get_clock().now().nanoseconds

    def tell(decision: str, person_id: str) -> None:
        seconds = (node.get_clock().now().nanoseconds - started_ns) / 1e9
        print(f"{seconds:7.2f} s  {decision:<11} {person_id}", flush=True)
        decisions.publish(String(data=f"{decision} {person_id}".strip()))

    topics = ConversationTopics(node, on_people=lambda: tree.tick())
    tree = py_trees.trees.BehaviourTree(turn_taking(topics, tell))
    try:
        while (node.get_clock().now().nanoseconds - started_ns) / 1e9 < options.seconds:
            rclpy.spin_once(node, timeout_sec=0.2)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        tree.interrupt()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
