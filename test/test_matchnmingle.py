"""The MatchNMingle reader on small files in the dataset's layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.data.ami import CorpusError
from hmgen_ros.data.matchnmingle import ACTIONS, MatchNMingleConfig, read_groups, resample
from hmgen_ros.data.preparation import PreparationConfig, prepare
from hmgen_ros.types import UNKNOWN_MASK, action_mask

#: Day and number on that day of the people with the global numbers 1 to 7.
PEOPLE = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 5)]
FRAMES = 400  # 20 s
HEADER = "Participants,Start,End\n"


def labels(seed: int = 0) -> np.ndarray:
    """``[FRAMES, people, 9]``: actions in runs of 15 frames, nobody occluded."""
    rng = np.random.default_rng(seed)
    runs = rng.random((FRAMES // 15 + 1, len(PEOPLE), 9)) < 0.2
    table = np.repeat(runs, 15, axis=0)[:FRAMES].astype(float)
    table[..., 8] = 0
    return table


def write_labels(folder: Path, table: np.ndarray, name: str = "LABELS.csv") -> None:
    np.savetxt(folder / name, table.reshape(len(table), -1), delimiter=",", fmt="%g")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "F-formationsGT").mkdir()
    (tmp_path / "PARTICIPANTS.csv").write_text("".join(f"{d},{n},1,0\n" for d, n in PEOPLE))
    write_labels(tmp_path, labels())
    (tmp_path / "F-formationsGT" / "Day1.csv").write_text(
        HEADER + "3 1 4,0:02,0:10\n2 ,0:02,0:10\n1 2 3 4,00:10,00:20\n"
    )
    (tmp_path / "F-formationsGT" / "Day2.csv").write_text(HEADER + "5 1 2,0:00,0:15\n1 2,1:40,2:00\n")
    return tmp_path


def masks_of(table: np.ndarray) -> np.ndarray:
    bits = np.array([action_mask(action) for action in ACTIONS])
    return (table[..., :8] * bits).sum(-1).astype(np.uint16)


def test_groups_get_the_frames_and_columns_of_their_people(folder: Path) -> None:
    groups = read_groups(folder, MatchNMingleConfig(resample=False))
    masks = masks_of(labels())
    assert [(g.day, g.people, g.start_s) for g in groups] == [
        (1, (3, 1, 4), 2.0),
        (1, (1, 2, 3, 4), 10.0),
        (2, (5, 1, 2), 0.0),
    ]
    assert (groups[0].masks == masks[40:200, [2, 0, 3]]).all()
    assert (groups[1].masks == masks[200:400, [0, 1, 2, 3]]).all()
    assert (groups[2].masks == masks[0:300, [6, 4, 5]]).all()
    assert groups[0].masks.dtype == np.uint16


def test_every_action_has_its_column(folder: Path) -> None:
    table = np.zeros((FRAMES, len(PEOPLE), 9))
    for frame in range(8):
        table[frame, :, frame] = 1
    write_labels(folder, table)
    masks = read_groups(folder, MatchNMingleConfig(resample=False))[2].masks
    assert masks[:9, 0].tolist() == [*(action_mask(action) for action in ACTIONS), 0]


def test_who_is_totally_occluded_is_unknown(folder: Path) -> None:
    table = labels()
    table[200:210, 0, 8] = 1
    table[210:220, 0, 8] = 2
    table[220:225, 1, 8] = np.nan
    table[225:230, 2, 3] = np.nan
    write_labels(folder, table)
    config = MatchNMingleConfig(resample=False)
    masks = read_groups(folder, config)[1].masks
    unknown = np.zeros(masks.shape, dtype=bool)
    unknown[10:20, 0] = unknown[20:25, 1] = unknown[25:30, 2] = True
    assert ((masks == UNKNOWN_MASK) == unknown).all()
    stricter = read_groups(folder, MatchNMingleConfig(resample=False, total_occlusion=1))[1].masks
    assert (stricter[0:20, 0] == UNKNOWN_MASK).all()


def test_sizes_can_be_chosen(folder: Path) -> None:
    assert [g.people for g in read_groups(folder, MatchNMingleConfig(group_sizes=(1, 4)))] == [
        (2,),
        (1, 2, 3, 4),
    ]


def test_a_name_with_a_space_is_found(folder: Path) -> None:
    before = read_groups(folder)
    (folder / "LABELS.csv").rename(folder / " LABELS.csv")
    after = read_groups(folder)
    assert all((a.masks == b.masks).all() for a, b in zip(before, after, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400))
def test_resampling_takes_the_nearest_frame(count: int) -> None:
    frames = np.arange(count, dtype=np.uint16)[:, None]
    ticks = resample(frames)[:, 0].astype(int)
    assert len(ticks) == round(count * 1.25)
    middle = (np.arange(len(ticks)) + 0.5) / 25
    centres = (np.arange(count) + 0.5) / 20
    nearest = np.abs(centres[:, None] - middle).min(axis=0)
    assert np.abs(centres[ticks] - middle) == pytest.approx(nearest)
    assert set(ticks) == set(range(count)), "no frame is lost"
    assert (np.diff(ticks) >= 0).all()


def test_the_groups_can_be_prepared(folder: Path) -> None:
    groups = read_groups(folder)
    assert [g.masks.shape for g in groups] == [(200, 3), (250, 4), (375, 3)]
    config = PreparationConfig(group_sizes=(3, 4), share=0.9)
    prepared = prepare([g.masks for g in groups], config)
    assert prepared.observed.shape == (2 + 3 + 5 + 3, 60, 4)
    assert prepared.space.other


def edit(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def relabel(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    return lambda folder: write_labels(folder, change(labels()))


def with_value(column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(table: np.ndarray) -> np.ndarray:
        table[7, 3, column] = value
        return table

    return change


DAY1 = "F-formationsGT/Day1.csv"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "LABELS.csv").unlink(), r"missing .*LABELS\.csv"),
        (lambda f: (f / "PARTICIPANTS.csv").unlink(), r"missing .*PARTICIPANTS\.csv"),
        (lambda f: [(f / "F-formationsGT" / f"Day{d}.csv").unlink() for d in (1, 2)], r"missing .*Day1\.csv"),
        (edit("PARTICIPANTS.csv", ""), r"PARTICIPANTS\.csv lists nobody"),
        (edit("PARTICIPANTS.csv", "1,1\n1,1\n"), r"line 2: day 1 has person 1 twice"),
        (edit("PARTICIPANTS.csv", "1,1\none,2\n"), r"line 2: not a day"),
        (edit("PARTICIPANTS.csv", "1,1\n1,2\n"), r"LABELS\.csv has 63 columns, not 9 for each of the 2"),
        (edit("LABELS.csv", "1,x\n"), r"LABELS\.csv is no table of numbers"),
        (relabel(with_value(2, 3.0)), r"LABELS\.csv: an action is neither 0 nor 1"),
        (relabel(with_value(8, -1.0)), r"LABELS\.csv: an occlusion is negative"),
        (
            edit(DAY1, HEADER + "1 9,0:01,0:02\n"),
            r"Day1\.csv, line 2: .* has no \[9\] on day 1",
        ),
        (edit(DAY1, HEADER + "\n1 a,0:01,0:02\n"), r"Day1\.csv, line 3: '1 a' are no numbers"),
        (edit(DAY1, HEADER + "1 1,0:01,0:02\n"), r"different people"),
        (edit(DAY1, HEADER + " ,0:01,0:02\n"), r"different people"),
        (edit(DAY1, HEADER + "1 2,0:05,0:02\n"), r"is no start and end"),
        (edit(DAY1, HEADER + "1 2,0:05\n"), r"is no start and end"),
        (edit(DAY1, HEADER + "1 2,0:05,12\n"), r"is no start and end"),
    ],
)
def test_damage_is_named(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(CorpusError, match=message):
        read_groups(folder)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="total_occlusion"):
        MatchNMingleConfig(total_occlusion=0)
    with pytest.raises(ValueError, match="group_sizes"):
        MatchNMingleConfig(group_sizes=(0,))
