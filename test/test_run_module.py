"""The script behind each executable of ros2 run and ros2 launch."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts/run_module"


def test_an_executable_runs_its_module_and_ends_at_once_while_loading(tmp_path: Path) -> None:
    stub = tmp_path / "lib/hmgen_ros/slow_node"
    stub.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, stub)
    stub.chmod(0o755)
    nodes = tmp_path / "modules/hmgen_ros/nodes"
    nodes.mkdir(parents=True)
    for folder in (nodes, nodes.parent):
        (folder / "__init__.py").touch()
    (nodes / "slow_node.py").write_text(
        "import sys, time\nprint(__name__, *sys.argv[1:], flush=True)\ntime.sleep(60)\n"
    )
    # What lies in the working directory is not what was installed.
    (tmp_path / "runpy.py").write_text("raise SystemExit('a file of the working directory was imported')\n")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "modules"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    process = subprocess.Popen(
        [stub, "--ros-args", "-p", "a:=b c"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "__main__ --ros-args -p a:=b c\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGINT
    assert errors == ""
