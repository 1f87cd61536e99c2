"""Joint actions: encoding is exact inside the space, sensible outside, and never wrong about the unknown."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, KNOWN_BITS, ActionSpace
from hmgen_ros.types import UNKNOWN_MASK, Action, action_mask

QUICK = settings(deadline=None, max_examples=50)
NONE, SPEAK, NOD, HAND, NOTES = (
    0,
    action_mask(Action.SPEAKING),
    action_mask(Action.HEAD_GESTURE),
    action_mask(Action.HAND_GESTURE),
    action_mask(Action.TAKING_NOTES),
)
SPACE = ActionSpace((NONE, SPEAK, NOTES, NOD, SPEAK | NOD))

masks = st.lists(st.sampled_from(list(Action)[1:10]), unique=True).map(lambda chosen: action_mask(*chosen))
spaces = st.sets(masks, max_size=20).map(lambda chosen: ActionSpace((0, *sorted(chosen - {0}))))


@QUICK
@given(spaces)
def test_masks_of_the_space_come_back(space: ActionSpace) -> None:
    for index, mask in enumerate(space.masks):
        assert space.encode(mask) == index
        assert space.decode(index) == mask


@QUICK
@given(spaces, masks)
def test_the_nearest_shares_most_and_adds_least(space: ActionSpace, mask: int) -> None:
    def rank(entry: int) -> tuple[int, int]:
        return (entry & mask).bit_count(), -(entry & ~mask).bit_count()

    found = space.masks[space.encode(mask)]
    assert rank(found) == max(rank(entry) for entry in space.masks)
    assert space.encode(mask) == min(i for i, e in enumerate(space.masks) if rank(e) == rank(found))


@QUICK
@given(spaces, st.lists(masks | st.just(UNKNOWN_MASK) | st.just(UNKNOWN_MASK | SPEAK), max_size=30))
def test_arrays_are_encoded_like_single_masks(space: ActionSpace, values: list[int]) -> None:
    encoded = space.encode_array(np.array(values, dtype=np.uint16))
    assert encoded.tolist() == [space.encode(value) for value in values]
    assert all(
        (index == ABSENT) == bool(value & UNKNOWN_MASK) for index, value in zip(encoded, values, strict=True)
    )


@QUICK
@given(spaces)
def test_json_round_trip(space: ActionSpace) -> None:
    assert ActionSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


@QUICK
@given(st.sets(masks, min_size=1, max_size=20), st.lists(masks, min_size=1, max_size=30))
def test_other_stands_for_everything_that_is_not_in(chosen: set[int], asked: list[int]) -> None:
    first = (0, *sorted(chosen - {0}))
    rest = next(mask for mask in (*asked, *range(2, 2 * len(first) + 4, 2)) if mask not in first)
    space = ActionSpace((*first, rest), other=True)
    for mask in (*first, *asked):
        assert space.encode(mask) == (first.index(mask) if mask in first else len(first))
    assert space.decode(len(first)) == rest
    assert space.labels[-1] == "other"
    assert space.labels[:-1] == ActionSpace(first).labels
    assert space.encode(UNKNOWN_MASK) == ABSENT
    assert ActionSpace.from_json(json.loads(json.dumps(space.to_json()))) == space
    assert space != ActionSpace(space.masks)


@QUICK
@given(
    st.lists(st.sampled_from([NONE, SPEAK, NOD, HAND, NOTES, SPEAK | NOD, UNKNOWN_MASK]), min_size=1),
    st.floats(0.01, 1.0),
    st.integers(2, 7),
)
def test_most_common_with_other(values: list[int], share: float, limit: int) -> None:
    corpus = np.array([NONE, *values])
    space = ActionSpace.most_common(corpus, share, limit, other=True)
    known = corpus[corpus != UNKNOWN_MASK]
    taken = space.masks[:-1] if space.other else space.masks
    rest = known[~np.isin(known, taken)]
    assert len(space) <= limit
    assert space.other == bool(rest.size)
    if space.other:
        counts = {mask: int((rest == mask).sum()) for mask in set(rest.tolist())}
        assert counts[space.masks[-1]] == max(counts.values())
        assert len(space) == limit or np.isin(known, taken).mean() >= share - 1e-9


def test_examples() -> None:
    assert SPACE.encode(SPEAK | HAND) == SPACE.encode(SPEAK)
    assert SPACE.encode(HAND) == 0
    assert SPACE.encode(UNKNOWN_MASK) == ABSENT
    assert SPACE.decode(ABSENT) == UNKNOWN_MASK
    assert SPACE.labels == ("none", "speaking", "taking_notes", "head_gesture", "speaking+head_gesture")
    assert SPACE.with_action(Action.SPEAKING).tolist() == [False, True, False, False, True]
    assert SPACE.encode_array(np.full((2, 3, 4), SPEAK)).shape == (2, 3, 4)


def test_most_common_reaches_the_share_and_no_more() -> None:
    corpus = np.array([NONE] * 60 + [SPEAK] * 30 + [NOD] * 6 + [NOTES] * 4 + [UNKNOWN_MASK] * 900)
    assert ActionSpace.most_common(corpus, 0.60).masks == (NONE,)
    assert ActionSpace.most_common(corpus, 0.90).masks == (NONE, SPEAK)
    assert ActionSpace.most_common(corpus, 0.91).masks == (NONE, SPEAK, NOD)
    assert ActionSpace.most_common(corpus, 1.0).masks == (NONE, SPEAK, NOD, NOTES)
    assert ActionSpace.most_common(corpus, 1.0, limit=2).masks == (NONE, SPEAK)


def test_most_common_gathers_the_rest() -> None:
    corpus = np.array([NONE] * 60 + [SPEAK] * 30 + [NOD] * 6 + [NOTES] * 4 + [UNKNOWN_MASK] * 900)
    space = ActionSpace.most_common(corpus, 0.90, other=True)
    assert (space.masks, space.other) == ((NONE, SPEAK, NOD), True)
    assert space.encode_array(corpus[[0, 60, 90, 96, 100]]).tolist() == [0, 1, 2, 2, ABSENT]
    assert space.encode(SPEAK | NOD) == 2, "not read as the nearest"
    assert space.with_action(Action.HEAD_GESTURE).tolist() == [False, False, True]
    whole = ActionSpace.most_common(corpus, 1.0, other=True)
    assert (whole.masks, whole.other) == ((NONE, SPEAK, NOD, NOTES), False), "nothing is left over"
    assert ActionSpace.most_common(corpus, 1.0, limit=3, other=True).masks == (NONE, SPEAK, NOD)


def test_none_is_always_in() -> None:
    corpus = np.array([SPEAK] * 98 + [NOD, NONE])
    assert set(ActionSpace.most_common(corpus, 0.9).masks) == {SPEAK, NONE}
    assert ActionSpace.most_common(corpus, 1.0, limit=1).masks == (NONE,)


@pytest.mark.parametrize(
    "bad", [(SPEAK,), (0, SPEAK, SPEAK), (0, UNKNOWN_MASK), (0, 1), (0, KNOWN_BITS + 2), (0, -2)]
)
def test_bad_spaces_are_refused(bad: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mask"):
        ActionSpace(bad)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mask 0 \(none\)"):
        ActionSpace((SPEAK, 0), other=True)
    with pytest.raises(ValueError, match="limit in 2 to 255"):
        ActionSpace.most_common(np.array([0]), limit=1, other=True)
    for wrong in ({"masks": [0]}, {"masks": [0, 2], "other": 1}, {"masks": [0, 2], "other": True, "x": 1}):
        with pytest.raises(ValueError, match="'masks' and 'other'"):
            ActionSpace.from_json(wrong)
    with pytest.raises(ValueError, match="bits"):
        SPACE.encode(1 << 12)
    with pytest.raises(ValueError, match="outside"):
        SPACE.decode(5)
    with pytest.raises(ValueError, match="share"):
        ActionSpace.most_common(np.array([0]), 0.0)
    with pytest.raises(ValueError, match="known"):
        ActionSpace.most_common(np.array([UNKNOWN_MASK]))


def test_what_is_observed_never_gains_an_action():
    space = ActionSpace.from_json(weights.load("group_attention").config["action_masks"])
    every = np.arange(KNOWN_BITS + 1)
    every = every[(every & ~KNOWN_BITS) == 0]
    symbols = space.observe_array(every)
    seen = np.array(space.masks)[symbols]
    assert not (seen & ~every).any()
    lost = np.bitwise_count(every & ~seen)
    best = min_lost(every, space)
    np.testing.assert_array_equal(lost, best)
    known = np.isin(every, space.masks)
    np.testing.assert_array_equal(seen[known], every[known])
    silent = space.observe_array(np.array([[action_mask(Action.HAND_GESTURE)], [UNKNOWN_MASK]]))
    np.testing.assert_array_equal(silent, [[space.encode(0)], [ABSENT]])
    with pytest.raises(ValueError, match="bits"):
        space.observe_array(np.array([1]))


def min_lost(masks, space):
    """Fewest actions that any symbol within each mask lacks."""
    return [min(int(mask & ~m).bit_count() for m in space.masks if not m & ~int(mask)) for mask in masks]
