"""Libraries underneath leave the other cores alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, sys
import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_info
from hmgen_ros.threads import one_thread_each

def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

one_thread_each()
print(json.dumps([threads(), sys.getswitchinterval()]))
"""


def test_numpy_and_scipy_multiply_on_one_core() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    threads, switch = json.loads(found.stdout)
    assert set(threads) == {1}
    assert switch < 0.001
