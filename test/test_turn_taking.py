"""The example tree in a process of its own holds a conversation with the recording that ships."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from ros_processes import PATIENCE_S, listener
from std_msgs.msg import String

from hmgen_ros.msg import People

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "turn_taking_tree.py"
#: What may be decided after what.
AFTER = {"speak": {"done", "yield"}, "done": {"speak", "backchannel"}, "yield": {"speak", "backchannel"}}


def test_it_takes_turns_in_the_recording() -> None:
    pytest.importorskip("py_trees", reason="pip install 'hmgen_ros[behaviours]'")
    tree = subprocess.Popen(
        [sys.executable, EXAMPLE, "--ros-args", "-p", "use_sim_time:=true"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1])},
    )
    try:
        with listener() as ear:
            ear.listen(String, "turn_taking/decision")
            ear.listen(People, "people")
            assert ear.spin_until(lambda: ear.node.count_subscribers("/people") == 2)
            player = [sys.executable, "-m", "hmgen_ros.cli", "run", "--headless", "--fast", "--duration", "9"]
            with subprocess.Popen(player, stdout=subprocess.DEVNULL) as playing:
                assert ear.spin_until(lambda: playing.poll() is not None, 300)
            assert playing.returncode == 0
            ear.spin_for(0.5)
            decisions = [message.data.split() for message in ear.received["turn_taking/decision"]]
            seen = {person.id for message in ear.received["people"] for person in message.people}
        tree.send_signal(signal.SIGINT)
        printed, _ = tree.communicate(timeout=PATIENCE_S)
    finally:
        if tree.poll() is None:
            tree.kill()
            tree.wait()
    assert tree.returncode == 0
    assert len(seen) == 3
    kinds = [words[0] for words in decisions]
    assert "speak" in kinds, kinds
    floor = [kind for kind in kinds if kind != "backchannel"]
    assert floor[0] == "speak"
    assert all(later in AFTER[earlier] for earlier, later in pairwise(floor))
    assert {who for _, *names in decisions for who in names} <= seen
    # The last sentence is cut off when the tree ends.
    assert len(printed.splitlines()) - len(decisions) in (0, 1)
