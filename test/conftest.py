"""What all tests share: ROS traffic stays on this machine and in a domain of this run alone."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no defect: tests have pytest's time limit, examples none of their own.
settings.register_profile("hmgen", deadline=None)
settings.load_profile("hmgen")

# Before any process of ours or a test's child starts: a domain by process id, so that two test runs on
# one machine do not hear each other. Domains up to 101 keep clear of the ephemeral ports.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
# The tests publish images, which do not fit into Fast DDS' default shared memory.
os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(Path(__file__).parents[1] / "config/fastdds_profile.xml")


@pytest.fixture(scope="session")
def recording() -> str:
    """Path of the bundled recording of three people."""
    from hmgen_ros.resources import resource

    return str(resource("recordings/three_people.mp4"))
