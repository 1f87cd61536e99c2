"""``hmgen evaluate social`` on small meetings: every number is there, repeats, and means what it says."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from test_ami import HEADER, rasters

from hmgen_ros.data.ami import meetings_of
from hmgen_ros.evaluation.action_metrics import describe
from hmgen_ros.evaluation.evaluate_social import EvaluateSocialConfig, evaluate_social
from hmgen_ros.evaluation.held_out import FUTURE, OBSERVED, TURN, held_out
from hmgen_ros.evaluation.model_scores import Translation
from hmgen_ros.generators import group_forecaster
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.interface import ActionPredictor, Futures
from hmgen_ros.generators.persistence import Persistence
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.types import Action

NAMES = ("r1", "r2", "r3")
DATA_KEYS = {"H_M", "H_C", "overlap", "pairwise_mi", "short_dwell", "silence", "changes", "ci95"}
MODEL_KEYS = DATA_KEYS | {"SFID", "nll", "brier", "ece", "onset_f1", "next_speaker_auc", "by_horizon"}


def write_meetings(folder: Path, people: int = 4, ticks: int = 3200) -> Path:
    """Meetings of our own, in which people answer each other after half a second."""
    folder.mkdir(parents=True)
    entries = [{"meeting": name, "head": True, "mov": True} for name in NAMES]
    (folder / "index.json").write_text(json.dumps({**HEADER, "meetings": entries}))
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        fields = {key: value[:, :people] for key, value in rasters(ticks, seed).items() if key != "speak"}
        speak, tick, speaker = np.zeros((ticks, people), np.uint8), 0, 0
        while tick < ticks:
            end = tick + int(rng.integers(10, 60))
            speak[tick:end, speaker] = 1
            tick, speaker = end + 12, int(rng.integers(people))
        np.savez_compressed(folder / f"{name}.npz", **fields, speak=speak)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meetings(tmp_path_factory.mktemp("data") / "ami_25hz")


class Oracle(ActionPredictor[Any]):
    """Knows the meetings by heart; its space has the symbols in another order."""

    def __init__(self, masks: list[np.ndarray], space: ActionSpace) -> None:
        super().__init__()
        self.space = ActionSpace((*space.masks[1:], space.masks[0]))
        self._known = [torch.from_numpy(self.space.encode_array(one)) for one in masks]

    def history(self, actions: torch.Tensor, ticks: torch.Tensor) -> Any:
        return next(one for one in self._known if torch.equal(one, actions)), ticks

    def futures(self, state: Any, steps: int, samples: int, generator: torch.Generator) -> Futures:
        known, ticks = state
        future = known[ticks[None] + 1 + torch.arange(steps)[:, None]]  # [T, W, N]
        now = known[ticks]
        table = torch.cat([torch.eye(len(self.space)), torch.zeros(1, len(self.space))])
        future = torch.where(now == ABSENT, ABSENT, future)
        return Futures(future.expand(samples, -1, -1, -1), table[future])

    def rollout(self, state: Any, steps: int, samples: int, generator: torch.Generator) -> torch.Tensor:
        return self.futures(state, steps, samples, generator).samples

    def _unused(self, *arguments: Any) -> Any:
        raise AssertionError("the evaluation has no use for this")

    initial_state = reset_slots = step = forward = next_probabilities = _unused


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Callable[[str], Any]]:
    masks = [meeting.masks for meeting in meetings_of(folder, "all").meetings]
    found: dict[str, Callable[[str], Any]] = {
        "persistence": lambda device: Persistence.load("persistence", device),
        "semi_markov": lambda device: SemiMarkov.load("semi_markov", device),
        "oracle": lambda device: Oracle(masks, SemiMarkov.load().space),
    }
    monkeypatch.setattr(group_forecaster, "ACTION_PREDICTORS", found)
    monkeypatch.setattr(group_forecaster, "DEFAULT_ACTION_PREDICTOR", "semi_markov")
    return found


def evaluated(folder: Path, **settings: Any) -> dict[str, Any]:
    console = Console(file=StringIO(), width=200)
    report = evaluate_social(EvaluateSocialConfig(folder, samples=8, **settings), console)
    assert "semi_markov" in console.file.getvalue()  # type: ignore[attr-defined]
    return report


@pytest.mark.usefixtures("models")
def test_meetings_without_head_annotation_are_asked_about_turn_ends_only(tmp_path: Path) -> None:
    folder = write_meetings(tmp_path / "mixed")
    whole = evaluated(folder, models=("persistence",))
    index = json.loads((folder / "index.json").read_text())
    index["meetings"][-1]["head"] = False
    (folder / "index.json").write_text(json.dumps(index))
    mixed = evaluated(folder, models=("persistence",))
    assert mixed["meetings"] == list(NAMES[:-1])
    assert mixed["meetings_of_voices"] == [NAMES[-1]]
    assert mixed["settings"]["windows"] < whole["settings"]["windows"]
    assert mixed["settings"]["hours"] < whole["settings"]["hours"]
    index["meetings"].pop()
    (folder / "index.json").write_text(json.dumps(index))
    fewer = evaluated(folder, models=("persistence",))
    assert mixed["settings"]["turn_ends"] > fewer["settings"]["turn_ends"]
    for model in ("semi_markov", "persistence"):
        one, other = mixed["models"][model], fewer["models"][model]
        for metric in ("nll", "H_M", "overlap", "SFID", "onset_f1"):
            assert one[metric] == pytest.approx(other[metric], rel=0.02)
    assert mixed["data"]["H_M"] == fewer["data"]["H_M"]


@pytest.mark.usefixtures("models")
def test_report_has_everything_and_repeats(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "social.json"
    report = evaluated(folder.parent, json=path, plots=tmp_path / "plots")
    assert json.loads(path.read_text()) == report
    assert (tmp_path / "plots" / "calibration.png").stat().st_size > 1000
    assert report["default"] == "semi_markov"
    assert list(report["models"]) == ["semi_markov", "persistence", "oracle"]
    assert report["data"].keys() >= DATA_KEYS
    assert report["meetings"] == list(NAMES)
    assert {"seed", "machine", "date", "settings"} <= report.keys()
    for name, values in report["models"].items():
        assert values.keys() >= MODEL_KEYS
        assert list(values["by_horizon"]) == ["0.2", "0.4", "0.8", "1.6", "3.2"]
        nll = [scores["nll"] for scores in values["by_horizon"].values()]
        assert values["nll"] == pytest.approx(np.mean(nll), abs=1e-6)
        low, high = values["ci95"]["nll"]
        assert low <= values["nll"] <= high
        assert ("difference_ci95" in values) == (name != "semi_markov")
    assert without_times(evaluated(folder)) == without_times(report)
    other = evaluated(folder, seed=1, models=("persistence",))
    assert other["models"]["semi_markov"]["nll"] != report["models"]["semi_markov"]["nll"]
    assert list(other["models"]) == ["semi_markov", "persistence"]


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    models = {
        name: {key: value for key, value in values.items() if key != "seconds"}
        for name, values in report["models"].items()
    }
    return {**report, "models": models, "date": ""}


@pytest.mark.usefixtures("models")
def test_who_knows_the_future_wins_everything(folder: Path) -> None:
    report = evaluated(folder, models=("oracle", "persistence"))
    data, oracle, persistence = report["data"], report["models"]["oracle"], report["models"]["persistence"]
    for name in ("H_M", "H_C", "overlap", "silence", "pairwise_mi", "short_dwell", "changes"):
        assert oracle[name] == pytest.approx(data[name], abs=1e-6)
    assert oracle["response"] == pytest.approx(data["response"], abs=1e-6)
    assert oracle["SFID"] == pytest.approx(0.0, abs=1e-6)
    assert oracle["nll"] == oracle["brier"] == oracle["ece"] == 0.0
    assert oracle["onset_f1"] == oracle["next_speaker_auc"] == 1.0
    assert persistence["next_speaker_auc"] == 0.5
    assert persistence["changes"] == persistence["H_C"] == persistence["onset_f1"] == 0.0
    assert persistence["SFID"] > 10 * oracle["SFID"]
    low, _ = oracle["difference_ci95"]["nll"]
    assert low > 0  # the default's is larger
    shuffled = report["controls"]["shuffled"]
    assert shuffled["H_M"] == pytest.approx(data["H_M"], abs=1e-6)
    assert shuffled["pairwise_mi"] < 0.5 * data["pairwise_mi"]
    assert shuffled["response"]["0.4-0.8"] < 0.6 * data["response"]["0.4-0.8"]


def test_moments_are_those_with_past_and_future(folder: Path) -> None:
    meetings = meetings_of(folder, "all").meetings
    space = SemiMarkov.load().space
    found, blocks = held_out(meetings, space, 50)
    assert blocks == [3, 3, 3]
    for number, (one, meeting) in enumerate(zip(found, meetings, strict=True)):
        symbols = space.encode_array(meeting.masks)
        windows, ends = one.windows, one.ends
        assert windows.ticks.tolist() == list(range(OBSERVED, len(symbols) - FUTURE, 50))
        assert windows.block.tolist() == [3 * number + tick // 1500 for tick in windows.ticks]
        for place, tick in enumerate(windows.ticks):
            future = symbols[tick + 1 : tick + 1 + FUTURE]
            expected = np.where(symbols[tick] == ABSENT, ABSENT, future)
            np.testing.assert_array_equal(windows.future[place], expected)
        assert len(ends) > 5
        speaks = np.append(space.with_action(Action.SPEAKING), False)
        assert not speaks[symbols[ends.ticks]].any()
        assert speaks[symbols[ends.ticks - 1]].any(axis=1).all()
        assert speaks[ends.future].any(axis=(1, 2)).all()
        assert ends.ticks.min() >= OBSERVED
        assert ends.ticks.max() + TURN < len(symbols)
        assert ((ends.future == ABSENT) == (ends.now == ABSENT)[:, None]).all()


@pytest.mark.usefixtures("models")
def test_one_person_alone_has_no_coupling(tmp_path: Path) -> None:
    report = evaluated(write_meetings(tmp_path / "alone", people=1), models=("persistence",))
    assert report["data"]["pairwise_mi"] is None
    assert report["data"]["overlap"] == 0.0
    assert report["models"]["persistence"]["nll"] > 0
    assert report["models"]["persistence"]["next_speaker_auc"] is None


def test_translation_adds_up_what_becomes_one() -> None:
    source, target = ActionSpace((0, 0b10, 0b1010, 0b1000)), ActionSpace((0b10, 0))
    translate = Translation(source, target)
    assert translate.symbols(np.array([0, 1, 2, ABSENT])).tolist() == [1, 0, 0, ABSENT]
    given = translate.probabilities(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    np.testing.assert_allclose(given, [0.5, 0.5])
    same = Translation(source, source)
    np.testing.assert_array_equal(same.symbols(np.array([2, ABSENT])), [2, ABSENT])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "training"}, "no split 'training'"),
        ({"stride": 0}, "stride"),
        ({"samples": 0}, "samples"),
        ({"seed": -1}, "seed"),
        ({"models": ("nobody",)}, "no action predictor 'nobody'"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateSocialConfig(Path("data"), **settings)


@pytest.mark.usefixtures("models")
def test_folders_that_cannot_be_scored_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no meetings at .*nowhere"):
        evaluate_social(EvaluateSocialConfig(tmp_path / "nowhere"))
    short = write_meetings(tmp_path / "short", ticks=120)
    with pytest.raises(ValueError, match="no forecast can be scored in r1, r2, r3"):
        evaluate_social(EvaluateSocialConfig(short))
    with pytest.raises(ValueError, match="no meeting for 'train'"):
        evaluate_social(EvaluateSocialConfig(short, split="train"))


def test_data_are_measured_as_describe_does(folder: Path, models: dict[str, Any]) -> None:
    report = evaluated(folder, models=("persistence",))
    space = models["semi_markov"]("cpu").space
    found, _ = held_out(meetings_of(folder, "all").meetings, space, 50)
    expected = describe(np.concatenate([one.windows.future[:, :40] for one in found]), space)
    for name in ("H_M", "H_C", "IS", "overlap", "silence", "pairwise_mi", "short_dwell", "changes"):
        assert report["data"][name] == pytest.approx(expected[name], abs=1e-6)
