"""The training loop, its states and its logs, on a small network with everything that carries state."""

import csv
import io
import json
import math
import os
import signal
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric.fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hmgen_ros.generators import weights
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.training.checkpoint import load_state, replacing, save_state
from hmgen_ros.training.loop import Loop, TrainingError
from hmgen_ros.training.loop_config import LoopConfig, batch_indices, seed_iteration
from hmgen_ros.training.run_log import RunError, RunFolder, RunLog

QUIET = Console(quiet=True)
CONFIG = LoopConfig(
    seed=3, iterations=24, eval_every=8, log_every=3, checkpoint_every=5, accelerator="cpu", threads=1
)


class Regression:
    """Learns a fixed line; dropout draws random numbers, batch and spectral norm and Adam carry state."""

    def __init__(self, interrupt_at: int = -1, rate: float = 1e-2) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(
            spectral_norm(nn.Linear(4, 8)), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)
        )
        self.adam = torch.optim.Adam(self.net.parameters(), rate)
        data = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
        self.inputs, self.targets = data, data.sum(1, keepdim=True)
        self.epoch = 50 // 16
        self.interrupt_at = interrupt_at

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"net": self.net}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"adam": self.adam}

    def setup(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.wrapped, self.wrapped_adam = fabric.setup(self.net, self.adam)
        self.inputs, self.targets = self.inputs.to(fabric.device), self.targets.to(fabric.device)

    def step(self, iteration: int) -> dict[str, float]:
        if iteration == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        self.net.train()
        chosen = torch.from_numpy(batch_indices(50, 16, iteration, seed=3))
        loss = (self.wrapped(self.inputs[chosen]) - self.targets[chosen]).square().mean()
        self.wrapped_adam.zero_grad()
        self.fabric.backward(loss)
        self.wrapped_adam.step()
        return {"loss": float(loss.detach())}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        torch.manual_seed(0)  # What an evaluation draws must not disturb the training.
        self.net.eval()
        error = (self.net(self.inputs) - self.targets).square().mean()
        return {"SFID": float(error), "noise": float(torch.rand(1))}

    def reference(self) -> dict[str, float]:
        return {"SFID": 0.0, "noise": float("nan")}

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"kind": "regression"}, dict(self.net.state_dict())


def run(path: Path, trainer: Regression, config: LoopConfig = CONFIG, console: Console = QUIET) -> bool:
    folder = RunFolder(path)
    folder.prepare({"seed": config.seed}, {}, config.force)
    return Loop(config.launch(), trainer, config, folder, console).run()


def log_of(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        # By bytes: NaN equals itself, and 0.0 is not -0.0.
        return (
            isinstance(two, Tensor)
            and one.dtype == two.dtype
            and one.shape == two.shape
            and (one.contiguous().numpy().tobytes() == two.contiguous().numpy().tobytes())
        )
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(two) and len(one) == len(two) and all(map(equal, one, two))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(two, float) and math.isnan(two)
    return type(one) is type(two) and bool(one == two)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text(string.printable, max_size=5)
    | st.lists(st.floats(width=32), max_size=4).map(torch.tensor)
    | st.integers(0, 3).map(lambda n: torch.arange(12).reshape(3, 4)[:, n])
)
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(0, 9) | st.text("ab/", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(STATES)
def test_states_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    path = tmp_path_factory.mktemp("state") / "a.safetensors"
    save_state(path, state)
    assert equal(load_state(path), state)


def test_shared_tensors_and_optimisers_come_back(tmp_path: Path) -> None:
    layer = nn.Linear(3, 3)
    adam = torch.optim.Adam(layer.parameters(), 0.1, betas=(0.5, 0.999))
    layer(torch.ones(2, 3)).sum().backward()
    adam.step()
    state = {"adam": adam.state_dict(), "again": layer.weight.data, "first": layer.weight.data}
    save_state(tmp_path / "a.safetensors", state)
    found = load_state(tmp_path / "a.safetensors")
    assert equal(found, state)
    adam.load_state_dict(found["adam"])
    assert adam.param_groups[0]["betas"] == (0.5, 0.999)


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="state/a/1: a training state cannot hold a set"):
        save_state(tmp_path / "a.safetensors", {"a": [1, {2}]})
    with pytest.raises(TypeError, match="state: keys"):
        save_state(tmp_path / "a.safetensors", {(1, 2): 3})
    assert not list(tmp_path.iterdir())


def test_colliding_names_are_told(tmp_path: Path) -> None:
    state = {"a": {"b": torch.zeros(1)}, "a/b": torch.ones(1)}
    save_state(tmp_path / "a.safetensors", state)
    assert equal(load_state(tmp_path / "a.safetensors"), state)


def test_damaged_and_foreign_states_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_state(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        load_state(path)
    weights.save(path, {"kind": "social"}, {})
    with pytest.raises(WeightsError, match="kind 'social'"):
        load_state(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as part:
            part.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@given(st.integers(1, 60), st.data())
def test_an_epoch_takes_no_sample_twice(samples: int, data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, samples))
    epoch, seed = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    length = samples // batch
    taken = [batch_indices(samples, batch, epoch * length + i, seed) for i in range(length)]
    flat = np.concatenate(taken)
    assert len(set(flat.tolist())) == length * batch
    assert flat.min() >= 0
    assert flat.max() < samples
    np.testing.assert_array_equal(taken[-1], batch_indices(samples, batch, (epoch + 1) * length - 1, seed))


def test_batches_larger_than_the_data_are_refused() -> None:
    with pytest.raises(ValueError, match="the 5 training samples, got 6"):
        batch_indices(5, 6, 0, 0)


def test_every_iteration_and_process_draws_other_numbers() -> None:
    drawn = set()
    for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        seed_iteration(*key)
        first = torch.rand(3)
        seed_iteration(*key)
        assert torch.equal(first, torch.rand(3))
        drawn.add(tuple(first.tolist()))
    assert len(drawn) == 4


@pytest.mark.parametrize("stop_at", [4, 7, 15])
def test_a_resumed_run_gives_the_same_numbers(tmp_path: Path, stop_at: int) -> None:
    straight, stopped = Regression(), Regression(interrupt_at=stop_at)
    assert run(tmp_path / "straight", straight)
    console = Console(record=True, quiet=False, file=io.StringIO(), width=200)
    assert not run(tmp_path / "stopped", stopped, console=console)
    text = console.export_text()
    assert f"stopped by SIGINT at iteration {stop_at + 1} of 24; the same command goes on" in text
    resumed = Regression(rate=0.5)
    with torch.no_grad():
        resumed.net[3].weight.zero_()
    assert run(tmp_path / "stopped", resumed)
    assert equal(dict(resumed.net.state_dict()), dict(straight.net.state_dict()))
    assert equal(resumed.adam.state_dict(), straight.adam.state_dict())
    assert log_of(tmp_path / "stopped") == log_of(tmp_path / "straight")
    assert (tmp_path / "stopped/best.safetensors").read_bytes() == (
        tmp_path / "straight/best.safetensors"
    ).read_bytes()
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("straight", "stopped")]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]


def test_a_killed_run_goes_on_from_its_last_state(tmp_path: Path) -> None:
    """Nothing is saved on the way out; lines of the log after the last state are made again."""

    class Killed(Regression):
        def step(self, iteration: int) -> dict[str, float]:
            if iteration == 14:
                raise MemoryError
            return super().step(iteration)

    run(tmp_path / "straight", Regression())
    with pytest.raises(MemoryError):
        run(tmp_path / "killed", Killed())
    assert run(tmp_path / "killed", Regression())
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "straight")


def test_evaluations_do_not_disturb_the_training(tmp_path: Path) -> None:
    often, seldom = Regression(), Regression()
    run(tmp_path / "often", often, replace(CONFIG, eval_every=1))
    run(tmp_path / "seldom", seldom, replace(CONFIG, eval_every=24))
    assert equal(dict(often.net.state_dict()), dict(seldom.net.state_dict()))


def test_logs_and_results(tmp_path: Path) -> None:
    run(tmp_path / "run", Regression())
    rows = log_of(tmp_path / "run")
    assert [int(row["iteration"]) for row in rows] == [0, 3, 6, 8, 9, 12, 15, 16, 18, 21, 24]
    assert [row["iteration"] for row in rows if row["SFID"]] == ["0", "8", "16", "24"]
    assert rows[0]["loss"] == ""
    assert all(float(row["loss"]) > 0 for row in rows[1:])
    assert [int(row["epoch"]) for row in rows] == [int(row["iteration"]) // 3 for row in rows]
    result = json.loads((tmp_path / "run/result.json").read_text())
    by_iteration = {int(row["iteration"]): float(row["SFID"]) for row in rows if row["SFID"]}
    best = min(by_iteration, key=lambda i: by_iteration[i])
    assert result["best"]["iteration"] == best
    assert result["best"]["SFID"] == pytest.approx(by_iteration[best], rel=1e-4)
    assert result["last"]["iteration"] == result["iterations"] == 24
    assert result["data"] == {"SFID": 0.0, "noise": None}
    assert list((tmp_path / "run/tensorboard").glob("events.*"))
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["settings"] == {"seed": 3}
    assert {"machine", "date"} <= config.keys()


def test_the_best_model_is_kept_and_readable(tmp_path: Path) -> None:
    trainer = Regression()
    run(tmp_path / "run", trainer)
    best = weights.read(tmp_path / "run/best.safetensors")
    fresh = Regression()
    fresh.net.load_state_dict(best.tensors)
    fresh.setup(CONFIG.launch())
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert fresh.validate()["SFID"] == pytest.approx(result["best"]["SFID"], rel=1e-6)


def test_a_time_limit_stops_and_the_run_goes_on(tmp_path: Path) -> None:
    assert not run(tmp_path / "run", Regression(), replace(CONFIG, max_minutes=1e-9))
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["iterations"] == 0
    assert not RunFolder(tmp_path / "run").finished(24)
    assert run(tmp_path / "run", Regression())
    assert RunFolder(tmp_path / "run").finished(24)
    assert not RunFolder(tmp_path / "run").finished(25)


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    run(tmp_path / "run", Regression(), replace(CONFIG, iterations=16))
    longer, straight = Regression(), Regression()
    assert run(tmp_path / "run", longer)
    run(tmp_path / "straight", straight)
    assert equal(dict(longer.net.state_dict()), dict(straight.net.state_dict()))


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    trainer = Regression()
    trainer.targets = trainer.targets * math.inf
    with pytest.raises(TrainingError, match=r"'loss' is (nan|inf) at iteration 0"):
        run(tmp_path / "run", trainer)


def test_handlers_of_signals_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(tmp_path / "run", Regression(), replace(CONFIG, iterations=1))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_settings_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare({"rate": 1.0, "sizes": (3, 4)}, {}, force=False)
    folder.prepare({"rate": 1.0, "sizes": (3, 4)}, {"threads": 2}, force=False)
    with pytest.raises(RunError, match=r"rate = 1\.0, now 2\.0\); start over with --force"):
        folder.prepare({"rate": 2.0, "sizes": (3, 4)}, {}, force=False)
    with pytest.raises(RunError, match=r"rate = 1\.0, now 2\.0\); start over with --force"):
        folder.check({"rate": 2.0, "sizes": (3, 4)}, force=False)
    folder.last.write_bytes(b"state")
    folder.check({"rate": 2.0}, force=True)
    assert folder.last.exists()
    folder.prepare({"rate": 2.0}, {}, force=True)
    assert not folder.last.exists()
    other = tmp_path / "letters"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for force in (False, True):
        with pytest.raises(RunError, match="holds no run"):
            RunFolder(other).prepare({}, {}, force)
    assert (other / "letter.txt").exists()
    folder.config.write_text("{")
    with pytest.raises(RunError, match=r"config\.json is not readable"):
        folder.prepare({}, {}, force=False)


def test_new_columns_leave_old_cells_empty(tmp_path: Path) -> None:
    log = RunLog(RunFolder(tmp_path), 0)
    log.add({"iteration": 1, "a": 1.5})
    log.add({"iteration": 2, "b": 2.0})
    log.close()
    assert [(row["a"], row["b"]) for row in log_of(tmp_path)] == [("1.5", ""), ("", "2")]
    (tmp_path / "log.csv").open("a").write("3,0")
    RunLog(RunFolder(tmp_path), 5).close()
    assert [row["iteration"] for row in log_of(tmp_path)] == ["1", "2"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iterations", 0),
        ("eval_every", 0),
        ("seed", -1),
        ("max_minutes", 0.0),
        ("devices", 0),
        ("threads", -1),
    ],
)
def test_bad_settings_fail_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_accelerator_that_is_not_there_fails_by_name() -> None:
    with pytest.raises(ValueError, match="accelerator"):
        replace(CONFIG, accelerator="cuda")
