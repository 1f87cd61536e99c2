"""Probabilities of actions become a set that holds; what cannot be observed is unknown, not absent."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.perception.action_labels import FORGET_TICKS, ActionLabels, action_probabilities
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.types import CONCURRENT_ACTIONS, UNKNOWN_MASK, Action, action_mask

QUICK = LatchConfig(on=0.5, off=0.4, on_ticks=1, off_ticks=2, min_ticks=1)
BOTH = {Action.SPEAKING: QUICK, Action.HAND_GESTURE: QUICK}
PROBABILITY = st.one_of(st.just(math.nan), st.floats(0, 1))


def test_actions_begin_and_end_apart_from_each_other():
    labels = ActionLabels(BOTH)
    speaks, waves = [1, 1, 0, 0, 0], [0, 1, 1, 1, 1]
    masks = [
        labels.update({Action.SPEAKING: a, Action.HAND_GESTURE: b})[0]
        for a, b in zip(speaks, waves, strict=True)
    ]
    one, two = action_mask(Action.SPEAKING), action_mask(Action.HAND_GESTURE)
    assert masks == [one, one | two, one | two, two, two]


def test_nobody_is_said_to_do_nothing_while_speech_cannot_be_observed():
    labels = ActionLabels(BOTH)
    mask, probabilities = labels.update({Action.HAND_GESTURE: 0.25})
    assert mask == UNKNOWN_MASK
    assert np.isnan(probabilities[Action.SPEAKING])
    assert probabilities[Action.NONE] == pytest.approx(0.75)


def test_what_gets_hidden_is_held_for_a_while_and_then_forgotten():
    labels = ActionLabels(BOTH)
    labels.update({Action.SPEAKING: 0.0, Action.HAND_GESTURE: 1.0})
    hidden = {Action.SPEAKING: 0.0, Action.HAND_GESTURE: math.nan}
    masks = [labels.update(hidden)[0] for _ in range(FORGET_TICKS + 1)]
    assert masks == [action_mask(Action.HAND_GESTURE)] * FORGET_TICKS + [0]
    assert labels.update({Action.SPEAKING: 0.0, Action.HAND_GESTURE: 0.45})[0] == 0


@given(st.dictionaries(st.sampled_from(CONCURRENT_ACTIONS), PROBABILITY))
def test_none_is_the_chance_that_nothing_observed_holds(evidence):
    values = action_probabilities(evidence)
    known = [p for p in evidence.values() if not math.isnan(p)]
    if not known:
        assert np.isnan(values).all()
        return
    assert values[Action.NONE] == pytest.approx(np.prod([1 - p for p in known]), abs=1e-6)
    for action in CONCURRENT_ACTIONS:
        assert values[action] == pytest.approx(evidence.get(action, math.nan), nan_ok=True)


@given(st.lists(st.dictionaries(st.sampled_from(CONCURRENT_ACTIONS), PROBABILITY), min_size=1, max_size=30))
def test_every_mask_is_one_that_forecasters_can_read(evidences):
    labels = ActionLabels(PerceptionConfig().latches)
    space = ActionSpace((0, action_mask(Action.SPEAKING)))
    for evidence in evidences:
        mask, _ = labels.update(evidence)
        symbol = space.encode(mask)
        assert (symbol == ABSENT) == (mask == UNKNOWN_MASK)
