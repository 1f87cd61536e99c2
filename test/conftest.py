"""What all tests share: ROS traffic stays on this machine, each test file's in a domain of its own."""

import os
import socket
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect: tests have pytest's time limit, examples none of their own. Each run tries the
# same examples, so that what fails is due to a change; --hypothesis-profile=search looks for others.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("hmgen", settings.get_profile("search"), derandomize=True)
settings.load_profile("hmgen")

# Before any process of ours or a test's child starts.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
# The tests publish images, which do not fit into Fast DDS' default shared memory.
os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(Path(__file__).parents[1] / "config/fastdds_profile.xml")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that listen to processes get the machine alone in `make test`: mark them."""
    for item in items:
        if hasattr(getattr(item, "module", None), "listener"):
            item.add_marker("processes")


#: Numbers of domains, from one by process id on.
_NUMBERS = count(os.getpid())


@pytest.fixture(scope="module", autouse=True)
def ros_domain() -> Iterator[int]:
    """A ROS domain that nobody else has: no other test run, and nothing an earlier file left behind."""
    # A socket without a file: its name is free again when the run ends, however it ends.
    with socket.socket(socket.AF_UNIX) as claim:
        # Domains up to 101 keep clear of the ephemeral ports.
        domain = next(
            number for number in (1 + n % 101 for n in islice(_NUMBERS, 101)) if _claimed(claim, number)
        )
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        yield domain


def _claimed(claim: socket.socket, domain: int) -> bool:
    try:
        claim.bind(f"\0hmgen_ros test domain {domain}")
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def recording() -> str:
    """Path of the bundled recording of three people."""
    from hmgen_ros.resources import resource

    return str(resource("recordings/three_people.mp4"))
