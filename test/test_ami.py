"""The AMI reader on corpora made here, the windows, and the training from raster to shipped file."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hmgen_ros.data.ami import (
    TRAINING_SERIES,
    CorpusError,
    Selection,
    complete_meetings,
    data_directory,
    meetings_of,
    read_index,
    read_meeting,
)
from hmgen_ros.data.windows import action_windows
from hmgen_ros.evaluation.action_forecasts import EvaluationConfig
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.generators.situations import SemiMarkovConfig
from hmgen_ros.training.train_semi_markov import TrainConfig, command, train
from hmgen_ros.types import UNKNOWN_MASK, Action, action_mask

HEADER = {
    "hz": 25,
    "agents": "ABCD",
    "head": ["none", "nod", "shake", "emphasis", "other_head"],
    "move": ["sit", "take_notes", "move", "stand", "other"],
    "hand": ["none", "point", "interact_object", "other_gesture"],
    "unknown": 255,
}
PARTS = {
    "ES2002": "training",
    "ES2003": "development",
    "ES2004": "unseen",
    "IS1008": "development",
    "IN1005": None,
}


def entry(name: str, complete: bool = True) -> dict:
    return {"meeting": name, "split": PARTS.get(name[:6]), "head": complete, "mov": True, "hand": False}


def rasters(ticks: int = 200, seed: int = 0) -> dict[str, np.ndarray]:
    """Four people who now and then speak, nod and take notes, in runs of 5 to 40 ticks."""
    rng = np.random.default_rng(seed)

    def runs(values: list[int], chances: list[float]) -> np.ndarray:
        people = [
            np.repeat(rng.choice(values, ticks, p=chances), rng.integers(5, 40, ticks)) for _ in range(4)
        ]
        return np.stack([person[:ticks] for person in people], axis=1).astype(np.uint8)

    return {
        "speak": runs([0, 1], [0.7, 0.3]),
        "laugh": runs([0, 1], [0.97, 0.03]),
        "head": runs([0, 1, 255], [0.9, 0.08, 0.02]),
        "move": runs([0, 1, 2, 3], [0.8, 0.1, 0.05, 0.05]),
    }


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A data folder with a small corpus of eight meetings."""
    folder = tmp_path / "ami_25hz"
    folder.mkdir()
    names = ["ES2002a", "ES2002b", "ES2002c", "ES2003a", "ES2004a", "IS1008a", "IS1008b", "IN1005"]
    entries = [entry(name, complete=name != "ES2002c") for name in names]
    (folder / "index.json").write_text(json.dumps({**HEADER, "meetings": entries}))
    for seed, name in enumerate(names):
        fields = rasters(1500, seed)
        if name == "ES2002c":
            del fields["head"]
        np.savez_compressed(folder / f"{name}.npz", **fields)
    return tmp_path


def test_series_stay_together_and_unassigned_ones_stay_out(corpus: Path) -> None:
    found = {info.name: (info.series, info.split, info.complete) for info in read_index(corpus / "ami_25hz")}
    assert found["ES2002a"] == ("ES2002", "train", True)
    assert found["ES2002c"] == ("ES2002", "train", False)
    assert found["ES2003a"] == ("ES2003", "validation", True)
    assert found["ES2004a"] == ("ES2004", "test", True)
    assert found["IS1008b"] == ("IS1008", "test", True)
    assert found["IN1005"] == ("IN1005", "", True)


def test_annotations_become_actions(corpus: Path) -> None:
    folder = corpus / "ami_25hz"
    zeros = np.zeros((12, 1), dtype=np.uint8)
    fields = {name: zeros.copy() for name in ("speak", "laugh", "head", "move", "hand")}
    codes = [("speak", 1), ("laugh", 1), ("head", 1), ("head", 3), ("head", 4), ("move", 1), ("move", 2)]
    codes += [("move", 3), ("hand", 2), ("head", 255), ("move", 255), ("hand", 255)]
    for tick, (name, code) in enumerate(codes):
        fields[name][tick] = code
    fields["speak"][9] = 1
    np.savez(folder / "ES2002a.npz", **fields)
    masks = read_meeting(read_index(folder)[0]).masks
    assert masks.dtype == np.uint16
    head = action_mask(Action.HEAD_GESTURE)
    expected = [action_mask(Action.SPEAKING), action_mask(Action.LAUGHING), head, head, head]
    expected += [action_mask(Action.TAKING_NOTES), action_mask(Action.STEPPING), 0]
    expected += [action_mask(Action.HAND_GESTURE), UNKNOWN_MASK, UNKNOWN_MASK, 0]
    assert masks[:, 0].tolist() == expected


def test_only_completely_annotated_meetings_are_chosen(corpus: Path) -> None:
    names = [m.info.name for m in complete_meetings(corpus / "ami_25hz", "train")]
    assert names == ["ES2002a", "ES2002b"]
    with pytest.raises(ValueError, match="no part 'training'"):
        complete_meetings(corpus / "ami_25hz", "training")


def names_of(selection: Selection) -> list[str]:
    return [meeting.info.name for meeting in selection.meetings]


def test_meetings_of_a_part_are_the_complete_ones(corpus: Path) -> None:
    folder = corpus / "ami_25hz"
    assert names_of(meetings_of(folder, "train")) == ["ES2002a", "ES2002b"]
    assert len(meetings_of(folder, "all").meetings) == 7
    assert names_of(meetings_of(folder, "held_out")) == ["ES2003a", "ES2004a", "IS1008a", "IS1008b", "IN1005"]
    assert meetings_of(folder, "all").notice == ""
    with pytest.raises(ValueError, match="no part 'unseen'; there are train"):
        meetings_of(folder, "unseen")


def test_people_of_the_training_series_are_not_held_out(corpus: Path) -> None:
    folder = corpus / "ami_25hz"
    people = {"ES2002b": ["Ann", "Bob"], "IN1005": ["Bob", "Eve"], "IS1008a": ["Joe"], "ES2003a": [None]}
    index = json.loads((folder / "index.json").read_text())
    for line in index["meetings"]:
        named = people.get(line["meeting"], [])
        line["speakers"] = {seat: {"name": name} for seat, name in zip("ABCD", named, strict=False)}
    (folder / "index.json").write_text(json.dumps(index))
    assert names_of(meetings_of(folder, "held_out")) == ["ES2003a", "ES2004a", "IS1008a", "IS1008b"]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Another recording's folder: other names, no parts, one, two and seven people."""
    entries = []
    for seed, (name, people) in enumerate({"lab-1": 1, "lab-2": 2, "EN2001a": 7}.items()):
        fields = {key: np.tile(raster, 2)[:, :people] for key, raster in rasters(300, seed).items()}
        np.savez(tmp_path / f"{name}.npz", **fields)
        entries.append({"meeting": name, "head": True, "mov": True})
    entries[0]["series"] = entries[1]["series"] = "lab"
    (tmp_path / "index.json").write_text(json.dumps({**HEADER, "meetings": entries}))
    return tmp_path


def test_other_recordings_are_read(foreign: Path) -> None:
    assert [(i.series, i.split) for i in read_index(foreign)] == [("lab", ""), ("lab", ""), ("EN2001", "")]
    selection = meetings_of(foreign, "held_out")
    assert [m.masks.shape for m in selection.meetings] == [(300, 1), (300, 2), (300, 7)]
    assert all((m.masks & action_mask(Action.SPEAKING)).any() for m in selection.meetings)
    with pytest.raises(CorpusError, match=r"index\.json: no meeting for 'validation'"):
        meetings_of(foreign, "validation")
    edit_index(lambda i: i["meetings"][0].update(split="test"))(foreign)
    assert names_of(meetings_of(foreign, "test")) == ["lab-1", "lab-2"], "a part is told once a series"
    edit_index(lambda i: i["meetings"][2].update(meeting="party", series=None))(foreign)
    assert read_index(foreign)[2].series == "party"


def test_our_training_series_are_never_held_out_whatever_the_folder_says(foreign: Path) -> None:
    edit_index(lambda i: i["meetings"][0].update(series="TS3010", split="test"))(foreign)
    assert names_of(meetings_of(foreign, "held_out")) == ["lab-2", "EN2001a"]


def test_incomplete_meetings_are_taken_with_a_notice(foreign: Path) -> None:
    for number in range(3):
        edit_index(lambda i, n=number: i["meetings"][n].update(head=False))(foreign)
    selection = meetings_of(foreign, "held_out")
    assert len(selection.meetings) == 3
    assert "none of the 3 meetings has head" in selection.notice
    edit_index(lambda i: i["meetings"][1].update(head=True))(foreign)
    assert names_of(meetings_of(foreign, "all")) == ["lab-2"]


def edit_index(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        change(index)
        (folder / "index.json").write_text(json.dumps(index))

    return work


def edit_meeting(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        fields = rasters()
        change(fields)
        np.savez(folder / "ES2002a.npz", **fields)

    return work


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "index.json").unlink(), r"missing .*index\.json"),
        (lambda f: (f / "index.json").write_text("{"), r"index\.json is not readable JSON"),
        (edit_index(lambda i: i.pop("meetings")), r"index\.json: field 'meetings'"),
        (edit_index(lambda i: i.update(hz=30)), r"field 'hz' is 30"),
        (edit_index(lambda i: i["meetings"][0].pop("head")), r"lacks the field 'head'"),
        (edit_index(lambda i: i["meetings"][0].pop("meeting")), r"lacks the field 'meeting'"),
        (
            edit_index(lambda i: i["meetings"][0].update(meeting="../x")),
            r"'\.\./x', not the name",
        ),
        (edit_index(lambda i: i["meetings"][0].update(meeting="")), r"'', not the name"),
        (edit_index(lambda i: i["meetings"][0].update(speakers=["A"])), r"'speakers' of ES2002a is no table"),
        (edit_index(lambda i: i["meetings"][0].update(split="unseen")), r"series ES2002 lies in several"),
        (edit_index(lambda i: i.pop("head")), r"code list 'head' is missing"),
        (edit_index(lambda i: i.update(move=["sit"])), r"ES2002a\.npz: field 'move' has code 3"),
        (lambda f: (f / "ES2002a.npz").unlink(), r"missing .*ES2002a\.npz"),
        (lambda f: (f / "ES2002a.npz").write_bytes(b"PK\x03\x04rubbish"), r"ES2002a\.npz is damaged"),
        (edit_meeting(lambda m: m.pop("laugh")), r"ES2002a\.npz: field 'laugh' is missing"),
        (edit_meeting(lambda m: m.pop("head")), r"ES2002a\.npz: field 'head' is missing, index\.json says"),
        (
            edit_meeting(lambda m: m.update(speak=m["speak"][:, :0])),
            r"'speak' is \(200, 0\), not ticks by people",
        ),
        (
            edit_meeting(lambda m: m.update(speak=m["speak"][:, 0])),
            r"'speak' is \(200,\), not ticks by people",
        ),
        (edit_meeting(lambda m: m.update(head=m["head"][:-1])), r"field 'head' is uint8 \(199, 4\)"),
        (edit_meeting(lambda m: m.update(move=m["move"].astype(float))), r"field 'move' is float64"),
        (edit_meeting(lambda m: m.update(speak=m["speak"] * 7)), r"field 'speak' has values"),
    ],
)
def test_damage_is_named(corpus: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = corpus / "ami_25hz"
    damage(folder)
    with pytest.raises(CorpusError, match=message):
        complete_meetings(folder, "train")


def test_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMGEN_DATA", str(tmp_path))
    assert data_directory() == tmp_path
    assert data_directory(tmp_path.parent) == tmp_path.parent
    monkeypatch.setenv("HMGEN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match=r"nowhere; name .* by --data or HMGEN_DATA"):
        data_directory()


def test_windows_cut_past_and_future() -> None:
    actions = np.arange(20)[:, None] + np.array([[0, 100]])
    observed, target = action_windows(actions, 4, 3, 5)
    assert observed.shape == (3, 4, 2)
    assert target.shape == (3, 3, 2)
    assert observed[1, :, 0].tolist() == [5, 6, 7, 8]
    assert target[1, :, 1].tolist() == [109, 110, 111]
    actions[6] = ABSENT
    assert len(action_windows(actions, 4, 3, 5)[0]) == 1
    assert len(action_windows(actions, 4, 3, 5, max_absent=0.2)[0]) == 3
    short = action_windows(actions[:6], 4, 3, 1)
    assert (short[0].shape, short[1].shape) == ((0, 4, 2), (0, 3, 2))
    for wrong in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            action_windows(actions, *wrong)
    with pytest.raises(ValueError, match=r"\[T, N\]"):
        action_windows(actions[:, 0], 1, 1, 1)


def test_training_writes_a_model_that_loads(corpus: Path) -> None:
    settings = TrainConfig(
        data=corpus,
        out=corpus / "models",
        name="tiny",
        share=0.99,
        situations=SemiMarkovConfig(dwell_edges=(3, 10)),
        evaluation=EvaluationConfig(samples=4),
        final=True,
    )
    with open(os.devnull, "w") as nowhere:
        path = train(settings, Console(file=nowhere))
    assert path == corpus / "models" / "tiny.safetensors"
    manifest = corpus / "models" / "manifest.yaml"
    model = SemiMarkov.from_weights(weights.load("tiny", manifest))
    assert model.config == settings.situations
    assert action_mask(Action.SPEAKING) in model.space.masks
    written = weights.read_manifest(manifest)["tiny"]
    reports = written["metrics"]
    assert list(reports) == ["validation (ES2003a)", "test (ES2004a, IS1008a, IS1008b)"]
    assert reports["validation (ES2003a)"]["semi_markov"]["nll_0.2s"] > 0
    assert "2 meetings" in written["trained_on"]
    assert written["command"] == command(settings)
    card = (corpus / "models" / "tiny.md").read_text()
    for text in (written["sha256"], "CC BY-NC-SA 2.5", "CC BY 4.0", "speaking", written["command"]):
        assert text in card


def test_the_command_names_what_differs() -> None:
    assert command(TrainConfig()) == "hmgen train semi-markov"
    changed = TrainConfig(share=0.9, final=True, situations=SemiMarkovConfig(dwell_edges=(2, 9)))
    assert command(changed) == "hmgen train semi-markov --share 0.9 --final --situations.dwell-edges 2 9"


def test_the_real_corpus() -> None:
    try:
        folder = data_directory() / "ami_25hz"
    except CorpusError as error:
        pytest.skip(str(error))
    index = read_index(folder)
    parts: dict[str, set[str]] = {}
    for info in index:
        parts.setdefault(info.split, set()).add(info.series)
    assert not parts["train"] & (parts["validation"] | parts["test"])
    assert parts["train"] == TRAINING_SERIES
    people = {split: {who for i in index if i.split == split for who in i.people} for split in parts}
    assert not people["train"] & (people["validation"] | people["test"])
    held_out = meetings_of(folder, "held_out")
    assert {m.info.split for m in held_out.meetings} <= {"validation", "test", ""}
    assert not people["train"] & {who for m in held_out.meetings for who in m.info.people}
    for split in ("validation", "test"):
        meetings = complete_meetings(folder, split)
        known = np.concatenate([m.masks.ravel() for m in meetings])
        known = known[known != UNKNOWN_MASK]
        assert 0.1 < ((known & action_mask(Action.SPEAKING)) > 0).mean() < 0.4
        assert 0.005 < ((known & action_mask(Action.HEAD_GESTURE)) > 0).mean() < 0.2
