"""Every system of chapter 3 trained for a few iterations on a corpus made here."""

import csv
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tyro
from rich.console import Console
from rich.table import Table
from social_corpus import write_corpus

from hmgen_ros.data.preparation import Prepared
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.training.checkpoint import load_state
from hmgen_ros.training.loop_config import LoopConfig
from hmgen_ros.training.run_log import RunError
from hmgen_ros.training.social_steps import Batch, GeneratorStep, hold_gaps
from hmgen_ros.training.social_systems import SYSTEMS
from hmgen_ros.training.train_social import SocialTrainConfig, command, make_step, train

QUIET = Console(quiet=True)
METRICS = {"H_M", "H_C", "IS", "SFID", "overlap", "pairwise_mi", "short_dwell", "changes"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two meetings to train on and one to validate on."""
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder, {"ES2002a": "training", "ES2002b": "training", "ES2003a": "development"})
    return folder


@pytest.fixture(scope="module")
def config(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> SocialTrainConfig:
    """A tiny run; all runs share a folder and so the network behind SFID."""
    return SocialTrainConfig(
        data=corpus,
        out=tmp_path_factory.mktemp("runs"),
        iterations=2,
        eval_every=1,
        log_every=1,
        batch=2,
        hidden=8,
        validation_windows=6,
        sfid_iterations=10,
        warm_iterations=2,
        accelerator="cpu",
        threads=1,
    )


def log_of(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def settings_of(path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((path / "config.json").read_text())["settings"]
    return settings


def flat(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    items = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else []
    return [tensor for item in items for tensor in flat(item)]


def same_tensors(one: Path, two: Path) -> bool:
    states = [load_state(path / "last.safetensors") for path in (one, two)]
    tensors = [flat({key: state[key] for key in ("modules", "optimizers")}) for state in states]
    return len(tensors[0]) > 20 and all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_trains(config: SocialTrainConfig, system: Any) -> None:
    console = Console(record=True, quiet=False, file=open(os.devnull, "w"), width=120)  # noqa: SIM115
    folder = train(replace(config, system=system), console)
    assert folder == config.out / f"{system}-t40-reco0-s0"
    text = console.export_text()
    assert "Action space" in text
    assert "speaking" in text
    rows = log_of(folder)
    assert [int(row["iteration"]) for row in rows] == [0, 1, 2]
    assert all(math.isfinite(float(rows[-1][metric])) for metric in METRICS - {"short_dwell"})
    result = json.loads((folder / "result.json").read_text())
    assert all(metric in result[part] for metric in METRICS for part in ("best", "last", "data"))
    assert result["iterations"] == 2
    losses = {"adversarial": "adversarial", "likelihood": "nll", "reconstruction": "reconstruction"}
    assert losses[SYSTEMS[system].objective] in rows[0]
    model = SocialGenerator.from_weights(weights.read(folder / "best.safetensors")).eval()
    state = model.history(torch.zeros(60, 4, dtype=torch.int64), torch.tensor([59]))
    futures = model.futures(state, 5, 3, torch.Generator().manual_seed(0))
    assert futures.samples.shape == (3, 5, 1, 4)


def test_systems_differ_as_the_thesis_says(config: SocialTrainConfig) -> None:
    def discriminator(name: Any, target: Any = 40) -> Any:
        made = replace(config, system=name, target=target)
        return make_step(made, samples(), Nothing()).discriminator.config  # type: ignore[attr-defined]

    ours = discriminator("local_rnn")
    assert (ours.kind, ours.scales, ours.streams) == ("local_rnn", (40, 20, 10, 5), ("indiv", "inter"))
    assert discriminator("local_rnn", 80).scales == (80, 40, 20, 5)
    assert discriminator("cnn").channels == 16
    large = discriminator("cnn_large")
    assert (large.kind, large.channels, len(large.scales)) == ("cnn", 48, 6)
    assert len(discriminator("local_rnn_large").scales) == 6
    assert discriminator("indiv_stream").streams == ("indiv",)
    assert discriminator("inter_stream").streams == ("inter",)
    nominal = replace(config, system="local_rnn").steps()
    assert (nominal.generator_rate, nominal.discriminator_rate) == (2e-5, 1e-5)
    assert SYSTEMS["local_rnn_3_4p"].preparation(40).group_sizes == (3, 4)
    assert SYSTEMS["local_rnn_35a"].preparation(80).limit == 35


class Nothing:
    """Validation of steps whose quality does not matter."""

    reference: dict[str, float] = {}  # noqa: RUF012

    def __call__(self, generator: SocialGenerator) -> dict[str, float]:
        return {"H_M": 0.0}


def samples(count: int = 16, people: int = 3, empty_seats: int = 0, target: int = 40) -> Prepared:
    """People who go on with what they did last, so that there is something to learn."""
    rng = np.random.default_rng(0)
    windows = np.repeat(rng.integers(0, 4, (count, 1, people)), 60 + target, axis=1).astype(np.int64)
    windows = np.pad(windows, ((0, 0), (0, 0), (0, empty_seats)), constant_values=ABSENT)
    origins = np.zeros((count, 2), np.int64)
    return Prepared(ActionSpace((0, 2, 4, 8)), windows[:, :60], windows[:, 60:], origins, Table())


def started(config: SocialTrainConfig, data: Prepared | None = None) -> GeneratorStep:
    step = make_step(config, data or samples(), Nothing())
    step.setup(config.launch())
    return step


@pytest.mark.parametrize(
    ("system", "loss"), [("likelihood", "nll"), ("likelihood_residual", "nll"), ("no_gan", "reconstruction")]
)
def test_generators_learn(config: SocialTrainConfig, system: Any, loss: str) -> None:
    # Batch norm at temperature 0.1 makes short runs of the generator chaotic.
    step = started(replace(config, system=system, generator_rate=1e-2, batch=16, batch_norm=False))
    losses = [step.step(i)[loss] for i in range(20)]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


def test_discriminators_learn_to_tell_real_from_generated(config: SocialTrainConfig) -> None:
    slow = replace(config, system="cnn", generator_rate=1e-9, discriminator_rate=1e-2, batch=16)
    step = started(slow)
    before, *_, after = [step.step(i) for i in range(10)]
    assert after["score_real"] - after["score_fake"] > before["score_real"] - before["score_fake"] + 0.05
    assert after["discriminator"] < before["discriminator"]


def test_generators_learn_to_please_the_discriminator(config: SocialTrainConfig) -> None:
    rates: Any = {"generator_rate": 1e-2, "discriminator_rate": 1e-9}
    slow = replace(config, system="cnn", batch=16, batch_norm=False, **rates)
    step = started(slow)
    losses = [step.step(i)["adversarial"] for i in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_each_network_learns_from_its_own_loss_only(config: SocialTrainConfig) -> None:
    """The generator's pass through the discriminator must leave the latter alone, and the reverse."""
    still: Any = replace(config, discriminator_rate=1e-30)
    step: Any = started(still)
    before = [p.detach().clone() for p in step.discriminator.parameters()]
    step.step(0)
    after = list(step.discriminator.parameters())
    assert all(torch.allclose(a, b, atol=1e-20) for a, b in zip(before, after, strict=True))
    assert all(p.requires_grad for p in step.discriminator.parameters())


def test_options_reach_the_losses(config: SocialTrainConfig) -> None:
    plain = started(config).step(0)
    assert "r1" not in plain
    assert "nll" not in plain
    full = started(replace(config, r1=1.0, lambda_likelihood=0.5, soft="gumbel", lambda_reco=1e-3)).step(0)
    assert {"r1", "nll"} <= full.keys()
    assert all(math.isfinite(value) for value in full.values())


@pytest.mark.parametrize("system", ["likelihood", "no_gan", "local_rnn"])
def test_empty_seats_change_no_loss(config: SocialTrainConfig, system: Any) -> None:
    # The thesis' temperature multiplies rounding at each of 40 ticks: by how much depends on the CPU.
    quiet: Any = replace(config, system=system, generator_rate=1e-9, temperature=1.0)
    found = []
    for empty in (0, 2):
        step: Any = started(quiet, samples(empty_seats=empty))
        torch.manual_seed(0)
        # Noise is drawn for every seat; without it both groups are the same.
        step.generator.config = replace(step.generator.config, noise=False)
        found.append(step.step(0))
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-5)


def test_unknown_and_unobserved_ticks_do_not_count() -> None:
    observed = torch.zeros(1, 60, 3, dtype=torch.int64)
    target = torch.zeros(1, 40, 3, dtype=torch.int64)
    observed[0, -1, 1] = ABSENT
    target[0, 5, 2] = ABSENT
    batch = Batch(observed, target)
    assert batch.present.tolist() == [[True, False, True]]
    assert batch.known[0, 5].tolist() == [True, False, False]
    assert batch.known.sum() == 40 + 39


def test_gaps_are_held() -> None:
    gap = ABSENT
    lines = [[gap, gap, 2, gap, 1, gap], [0, gap, gap, gap, gap, 3], [gap] * 6]
    held = [[2, 2, 2, 2, 1, 1], [0, 0, 0, 0, 0, 3], [gap] * 6]
    assert hold_gaps(torch.tensor(lines).t()[None])[0].t().tolist() == held


def test_people_who_go_out_of_sight_leave_gradients_finite(config: SocialTrainConfig) -> None:
    data = samples()
    data.observed[:, :50, 0] = ABSENT
    data.target[:, 3:, 1] = ABSENT
    data.observed[::2, -1:, 2] = ABSENT
    step: Any = started(replace(config, r1=1.0), data)
    for iteration in range(3):
        step.step(iteration)
        for module in step.modules.values():
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            assert gradients
            assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("system", ["cnn", "likelihood_residual", "refined"])
def test_a_run_in_two_parts_equals_one(config: SocialTrainConfig, tmp_path: Path, system: Any) -> None:
    small = replace(config, system=system, seed=7)
    straight = train(small, QUIET)
    parts = replace(small, out=tmp_path)
    for file in config.out.glob("*.safetensors"):  # The network behind SFID.
        shutil.copy(file, tmp_path)
    if system == "refined":
        warm = "likelihood_residual-t40-reco0-s7"
        shutil.copytree(config.out / warm, tmp_path / warm)
    train(replace(parts, iterations=1), QUIET)
    resumed = train(parts, QUIET)
    assert same_tensors(straight, resumed)
    assert log_of(straight) == log_of(resumed)
    assert (straight / "best.safetensors").read_bytes() == (resumed / "best.safetensors").read_bytes()


def test_seeds_differ(config: SocialTrainConfig) -> None:
    one, two = (train(replace(config, system="likelihood", seed=seed), QUIET) for seed in (0, 1))
    assert not same_tensors(one, two)


def test_a_finished_run_is_not_repeated(config: SocialTrainConfig, tmp_path: Path) -> None:
    own = replace(config, system="likelihood", out=tmp_path)
    folder = train(own, QUIET)
    stamp = (folder / "last.safetensors").stat().st_mtime_ns
    console = Console(record=True, quiet=False, file=open(os.devnull, "w"), width=200)  # noqa: SIM115
    train(own, console)
    assert "is finished; --force starts over" in console.export_text()
    assert (folder / "last.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(RunError, match="generator_rate"):
        train(replace(own, generator_rate=0.5), QUIET)
    train(replace(own, generator_rate=0.5, force=True), QUIET)
    assert settings_of(folder)["generator_rate"] == 0.5


def test_a_refined_system_starts_from_the_likelihoods_best(config: SocialTrainConfig) -> None:
    refined = train(replace(config, system="refined"), QUIET)
    start = json.loads((config.out / "likelihood_residual-t40-reco0-s0/result.json").read_text())["best"]
    first = log_of(refined)[0]
    for metric in ("H_M", "H_C", "SFID"):
        assert float(first[metric]) == pytest.approx(start[metric], rel=0.02)
    assert (config.out / "likelihood_residual-t40-reco0-s0/last.safetensors").exists()


def test_shipping_writes_model_entry_and_card(config: SocialTrainConfig, tmp_path: Path) -> None:
    shipping = replace(config, system="likelihood", ship="mine", models=tmp_path)
    folder = train(shipping, QUIET)
    model = SocialGenerator.from_weights(weights.load("mine", tmp_path / "manifest.yaml"))
    best = weights.read(folder / "best.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in best.tensors.items())
    card = (tmp_path / "mine.md").read_text()
    assert command(shipping) in card
    assert "| 0 | " in card
    assert "| SFID | " in card
    assert "2 meetings" in card
    assert str(config.out) not in card
    assert str(config.data) not in card


def test_the_command_gives_the_settings_back(config: SocialTrainConfig) -> None:
    full = replace(
        config,
        data=None,
        out=SocialTrainConfig.out,
        system="refined",
        betas=(0.5, 0.9),
        r1=0.5,
        soft="straight_through",
        ship="a name",
        max_minutes=2.5,
    )
    words = shlex.split(command(full))
    assert words[:3] == ["hmgen", "train", "social"]
    assert tyro.cli(SocialTrainConfig, args=words[3:]) == full


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("system", "local_run"),
        ("target", 60),
        ("batch", 0),
        ("hidden", 0),
        ("generator_rate", 0.0),
        ("discriminator_rate", -1.0),
        ("lambda_reco", -1e-3),
        ("r1", math.nan),
        ("betas", (0.5, 1.0)),
        ("validation_windows", 0),
        ("ship", "../up"),
        ("eval_every", 0),
    ],
)
def test_bad_settings_fail_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        SocialTrainConfig(**{field: value})


def test_too_little_data_is_told(config: SocialTrainConfig) -> None:
    with pytest.raises(ValueError, match="batch must lie between 1 and the"):
        train(replace(config, batch=500, seed=3), QUIET)
    assert not replace(config, seed=3).folder.path.exists()


def test_settings_are_a_loops_settings() -> None:
    assert isinstance(SocialTrainConfig(), LoopConfig)


def test_two_processes_refine_one_model(tmp_path: Path) -> None:
    """The same script on two processes: both end with the same weights, and one writes the folder.

    Generation, penalty, likelihood and both optimisers take part.
    """
    script = tmp_path / "two.py"
    script.write_text(
        "import sys, torch\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from hmgen_ros.training.loop import Loop\n"
        "from test_train_social import *\n"
        "config = SocialTrainConfig(iterations=3, log_every=1, batch=2, hidden=8, accelerator='cpu',\n"
        "    devices=2, threads=1, r1=1.0, lambda_likelihood=1.0, soft='gumbel', generator_rate=1e-2,\n"
        "    discriminator_rate=1e-2, out=Path(sys.argv[1]))\n"
        "fabric = config.launch()\n"
        "if fabric.is_global_zero:\n"
        "    config.folder.prepare({}, {}, False)\n"
        "fabric.barrier()\n"
        "step = make_step(config, samples(), Nothing())\n"
        "assert Loop(fabric, step, config, config.folder, QUIET, metric='H_M').run()\n"
        "for module in step.modules.values():\n"
        "    flat = torch.cat([p.detach().flatten() for p in module.parameters()])\n"
        "    everyone = fabric.all_gather(flat)\n"
        "    assert everyone.shape[0] == 2 and torch.equal(everyone[0], everyone[1])\n"
        "(Path(sys.argv[1]) / f'done{fabric.global_rank}').write_text('')\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=600,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("done*")} == {"done0", "done1"}
    rows = log_of(tmp_path / "local_rnn-t40-reco0-s0")
    assert [row["iteration"] for row in rows] == ["0", "1", "2", "3"]
