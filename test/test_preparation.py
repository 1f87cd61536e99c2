"""The thesis' preparation: what is cut, what is dropped, which people make a group, which actions remain."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console

from hmgen_ros.data.preparation import PreparationConfig, action_shares, action_table, prepare
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import UNKNOWN_MASK, Action, action_mask

QUICK = settings(deadline=None, max_examples=60)
#: So many masks that people and ticks can be told apart by them: 0, 2, 4, …, 498.
DISTINCT = ActionSpace(tuple(range(0, 500, 2)))
SPEAK, NOD, NOTES = (action_mask(a) for a in (Action.SPEAKING, Action.HEAD_GESTURE, Action.TAKING_NOTES))

lengths = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 6)), min_size=1, max_size=4)


def numbered(ticks: int, people: int) -> NDArray[np.uint16]:
    """Masks that count up over people and ticks, as far as the space goes."""
    return (2 * (np.arange(ticks * people).reshape(ticks, people) % 250)).astype(np.uint16)


@QUICK
@given(lengths, st.integers(1, 9), st.integers(1, 9), st.sets(st.integers(1, 6), min_size=1, max_size=3))
def test_segments_are_disjoint_complete_and_followed_by_their_target(
    shapes: list[tuple[int, int]], observed: int, target: int, sizes: set[int]
) -> None:
    sequences = [numbered(*shape) for shape in shapes]
    config = PreparationConfig(observed=observed, target=target, group_sizes=tuple(sizes), max_unknown=0.0)
    expected = [
        (size, number, start)
        for size in sizes
        for number, (ticks, people) in enumerate(shapes)
        for start in range(0, ticks - observed - target + 1, observed)
        if people >= size
    ]
    if not expected:
        with pytest.raises(ValueError, match="no sample is left"):
            prepare(sequences, config, DISTINCT)
        return
    prepared = prepare(sequences, config, DISTINCT)
    assert prepared.observed.shape == (len(expected), observed, max(sizes))
    assert prepared.target.shape == (len(expected), target, max(sizes))
    whole = np.concatenate([prepared.observed, prepared.target], axis=1)
    for window, origin, (size, number, start) in zip(whole, prepared.origins, expected, strict=True):
        assert origin.tolist() == [number, start]
        ticks = sequences[number][start : start + observed + target]
        columns = DISTINCT.encode_array(ticks).T.tolist()
        present = [columns.index(person) for person in window.T[:size].tolist()]
        assert present == sorted(set(present)), "different people, in the order of their seats"
        assert (window[:, size:] == ABSENT).all()
    for size in sizes:
        observed_ticks = [(n, s + t) for z, n, s in expected if z == size for t in range(observed)]
        assert len(set(observed_ticks)) == len(observed_ticks), "no tick is observed twice"


def test_people_are_left_out_in_turn() -> None:
    masks = np.tile(np.array([0, 2, 4, 6], dtype=np.uint16), (60, 1))
    config = PreparationConfig(observed=10, target=10, group_sizes=(3,))
    seen = prepare([masks], config, DISTINCT).observed[:, 0]
    assert seen.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [1, 2, 3]]


def test_mixed_sizes_are_padded() -> None:
    masks = np.tile(np.array([0, 2, 4, 6], dtype=np.uint16), (40, 1))
    config = PreparationConfig(observed=10, target=20, group_sizes=(3, 4))
    prepared = prepare([masks, masks[:, :3], masks[:, :2]], config, DISTINCT)
    rows = [[1, 2, 3, ABSENT], [0, 2, 3, ABSENT], [0, 1, 2, ABSENT], [0, 1, 2, ABSENT]]
    assert prepared.target[:, 0].tolist() == [*rows, [0, 1, 2, 3], [0, 1, 2, 3]]
    assert prepared.origins.tolist() == [[0, 0], [0, 10], [1, 0], [1, 10], [0, 0], [0, 10]]


@QUICK
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 20), st.randoms())
def test_the_drop_rule_is_exact(unknown: list[int], allowed: int, random: object) -> None:
    """A sample of 40 actions stays if and only if at most ``allowed`` of them are unknown."""
    segments = []
    for count in unknown:
        cells = [UNKNOWN_MASK] * count + [SPEAK] * (40 - count)
        random.shuffle(cells)  # type: ignore[attr-defined]
        segments.append(np.array(cells, dtype=np.uint16).reshape(10, 4))
    space = ActionSpace((0, SPEAK))
    config = PreparationConfig(observed=6, target=4, max_unknown=allowed / 40)
    kept = [number for number, count in enumerate(unknown) if count <= allowed]
    if not kept:
        with pytest.raises(ValueError, match=f"{len(unknown)} have at least 10 ticks"):
            prepare(segments, config, space)
        return
    prepared = prepare(segments, config, space)
    assert prepared.origins[:, 0].tolist() == kept
    for number, past, future in zip(kept, prepared.observed, prepared.target, strict=True):
        window = np.concatenate([past, future])
        assert (window == space.encode_array(segments[number])).all()


def corpus(seed: int = 0) -> list[NDArray[np.uint16]]:
    rng = np.random.default_rng(seed)
    values = [0, SPEAK, NOD, NOTES, SPEAK | NOD, UNKNOWN_MASK]
    return [rng.choice(values, (300, 4), p=[0.6, 0.25, 0.06, 0.04, 0.02, 0.03]).astype(np.uint16)]


@QUICK
@given(st.floats(0.05, 0.999), st.integers(0, 5))
def test_the_action_space_reaches_the_share_with_the_fewest_actions(share: float, seed: int) -> None:
    sequences = corpus(seed)
    prepared = prepare(sequences, PreparationConfig(share=share, max_unknown=1.0))
    shares = action_shares(prepared.space, [prepared.space.encode_array(s) for s in sequences])
    own = shares[:-1] if prepared.space.other else shares
    assert own.sum() >= share - 1e-9
    assert own[:-1].sum() < share
    assert (np.diff(own) <= 0).all(), "most common first"
    assert shares.sum() == pytest.approx(1.0)


def test_a_held_out_part_uses_the_given_space() -> None:
    space = ActionSpace((0, SPEAK, NOD), other=True)
    masks = np.full((100, 4), NOTES, dtype=np.uint16)
    prepared = prepare([masks], PreparationConfig(), space)
    assert prepared.space is space
    assert (prepared.target == 2).all()
    assert (prepared.observed.dtype, prepared.target.shape) == (np.int64, (1, 40, 4))


def test_the_thesis_numbers_are_the_defaults() -> None:
    config = PreparationConfig()
    assert (config.observed, config.target, config.share, config.max_unknown) == (60, 40, 0.90, 0.1)


def test_the_table_lists_actions_and_shares() -> None:
    space = ActionSpace((0, SPEAK, NOD), other=True)
    out = io.StringIO()
    symbols = [np.array([[0, 0, 1, ABSENT]]), np.array([2, 0])]
    Console(file=out, width=100).print(action_table(space, symbols))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines()]
    rows = [line for line in lines if line]
    assert rows == [
        ["0", "none", "60.000", "60.00"],
        ["1", "speaking", "20.000", "80.00"],
        ["2", "other", "20.000", "100.00"],
    ]
    assert action_shares(space, [np.array([ABSENT])]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"observed": 0}, "observed and target"),
        ({"target": 0}, "observed and target"),
        ({"share": 0.0}, "share"),
        ({"limit": 1}, "limit must lie in 2"),
        ({"limit": 256}, "limit"),
        ({"group_sizes": ()}, "group_sizes"),
        ({"group_sizes": (3, 3)}, "group_sizes"),
        ({"group_sizes": (0,)}, "group_sizes"),
        ({"max_unknown": 1.5}, "max_unknown"),
    ],
)
def test_bad_settings_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PreparationConfig(), **wrong)


def test_bad_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="no sequence"):
        prepare([], PreparationConfig())
    with pytest.raises(ValueError, match="sequence 1 must be ticks by people"):
        prepare([corpus()[0], corpus()[0][:, 0]], PreparationConfig())
    with pytest.raises(ValueError, match="no known mask"):
        prepare([np.full((200, 4), UNKNOWN_MASK)], PreparationConfig())
    with pytest.raises(ValueError, match=r"of 1 sequences: 0 have at least 340 ticks and 4 people"):
        prepare(corpus(), PreparationConfig(target=280))
    with pytest.raises(ValueError, match=r"0 have at least 100 ticks and 5 people"):
        prepare(corpus(), PreparationConfig(group_sizes=(5,)))
