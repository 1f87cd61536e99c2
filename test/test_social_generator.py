"""SocialInteractionGAN's generator: streaming equals batch, people stay people, what is saved comes back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.generators.social_networks import SocialConfig, SocialState

QUICK = settings(deadline=None, max_examples=20)
SPACE = ActionSpace((0, 0b10, 0b100, 0b1000, 0b1010))
ACTIONS = len(SPACE)
SMALL = SocialConfig(observed=8, embedding=6, hidden=7, draw="categorical", residual=1.5)


def model(seed: int = 0, config: SocialConfig = SMALL) -> SocialGenerator:
    """A generator whose batch norm and outputs are far from where they start."""
    torch.manual_seed(seed)
    made = SocialGenerator(SPACE, config)
    for module in made.modules():
        if isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    made.train()
    for _ in range(5):
        made.generate(torch.randint(0, ACTIONS, (16, config.observed, 3)), 10)
    return made.eval()


MODEL = model()


def plain(actions: Tensor | tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randint(0, ACTIONS, tuple(actions), generator=torch.Generator().manual_seed(seed))


@st.composite
def sequences(draw: st.DrawFn) -> Tensor:
    """``[T, N]`` with runs, absences, people who come, go and come back."""
    people, ticks = draw(st.integers(0, 4)), draw(st.integers(1, 20))
    runs = st.lists(st.tuples(st.integers(ABSENT, 4), st.integers(1, 12)), min_size=ticks, max_size=ticks)
    columns = [[a for a, length in draw(runs) for _ in range(length)][:ticks] for _ in range(people)]
    return torch.tensor(columns, dtype=torch.int64).reshape(people, ticks).T.contiguous()


def stream(actions: Tensor, of: SocialGenerator = MODEL) -> tuple[SocialState, Tensor]:
    state = of.initial_state(actions.shape[1])
    steps = []
    for tick in actions:
        state, following = of.step(state, tick)
        steps.append(following)
    return state, torch.stack(steps)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@QUICK
@given(sequences())
def test_streaming_equals_batch(actions: Tensor) -> None:
    torch.testing.assert_close(stream(actions)[1], MODEL(actions[None])[0], rtol=1e-4, atol=1e-5)


@QUICK
@given(sequences(), st.data())
def test_history_gives_the_streamed_states(actions: Tensor, data: st.DataObject) -> None:
    ticks = data.draw(st.lists(st.integers(0, len(actions) - 1), min_size=1, max_size=3))
    states = MODEL.history(actions, torch.tensor(ticks))
    for place, tick in enumerate(ticks):
        streamed, _ = stream(actions[: tick + 1])
        assert torch.equal(states.actions[place], streamed.actions)
        torch.testing.assert_close(states.code[place], streamed.code, rtol=1e-4, atol=1e-5)


@QUICK
@given(sequences())
def test_rows_are_distributions_or_zero(actions: Tensor) -> None:
    torch.testing.assert_close(MODEL(actions[None])[0].sum(-1), (actions != ABSENT).float())


@QUICK
@given(sequences(), st.integers(0, 9))
def test_people_may_sit_in_any_order_among_empty_seats(actions: Tensor, seed: int) -> None:
    order = torch.randperm(actions.shape[1], generator=seeded(seed))
    expected = MODEL(actions[None])[0]
    torch.testing.assert_close(MODEL(actions[None][..., order])[0], expected[:, order], rtol=1e-4, atol=1e-5)
    wide = torch.full((len(actions), actions.shape[1] + 2), ABSENT)
    wide[:, 1:-1] = actions
    torch.testing.assert_close(MODEL(wide[None])[0, :, 1:-1], expected, rtol=1e-4, atol=1e-5)


def test_ticks_of_absence_are_skipped_and_old_ones_forgotten() -> None:
    seen = plain((3, 2))
    gap = torch.full((2, 2), ABSENT)
    with_gap = torch.cat([seen[:1], gap, seen[1:]])
    torch.testing.assert_close(stream(with_gap)[1][-1], stream(seen)[1][-1])
    old = torch.cat([plain((5, 2), seed=3), plain((8, 2))])
    torch.testing.assert_close(stream(old)[1][-1], stream(plain((8, 2)))[1][-1])
    assert not torch.allclose(stream(plain((8, 2)))[1][-1], stream(plain((8, 2))[1:])[1][-1])


def test_others_matter_and_only_through_the_group() -> None:
    actions = plain((8, 3))
    other = actions.clone()
    other[:, 2] = plain((8,), seed=9)
    one, changed = MODEL(torch.stack([actions, other]))[:, -1]
    assert not torch.allclose(one[0], changed[0], atol=1e-4)


def test_slots_are_reset_and_arranged() -> None:
    actions = plain((6, 3))
    state, _ = stream(actions)
    arranged = MODEL.arrange(state, [2, -1, 0])
    swapped = torch.stack([actions[:, 2], torch.full((6,), ABSENT), actions[:, 0]], dim=1)
    expected, _ = stream(swapped)
    assert torch.equal(arranged.actions, expected.actions)
    torch.testing.assert_close(arranged.code, expected.code)
    reset = MODEL.reset_slots(state, torch.tensor([False, True, False]))
    assert (reset.actions[1] == ABSENT).all()
    assert not reset.code[1].any()
    assert torch.equal(reset.code[0], state.code[0])


@pytest.mark.parametrize("draw", ["argmax", "categorical"])
@pytest.mark.parametrize("people", [0, 1, 4, 20])
def test_futures_of_any_group(draw: str, people: int) -> None:
    generator = model(config=replace(SMALL, draw=draw))
    actions = plain((9, people))
    actions[-1, people // 2 :] = ABSENT
    state, following = stream(actions, generator)
    futures = generator.futures(state, 6, 5, seeded())
    assert futures.samples.shape == (5, 6, people)
    assert futures.samples.dtype == torch.int64
    assert futures.marginals.shape == (6, people, ACTIONS)
    absent = actions[-1] == ABSENT
    assert (futures.samples[:, :, absent] == ABSENT).all()
    assert ((futures.samples[:, :, ~absent] >= 0) & (futures.samples[:, :, ~absent] < ACTIONS)).all()
    torch.testing.assert_close(futures.marginals.sum(-1), (~absent).float().expand(6, -1))
    assert torch.equal(futures.samples, generator.rollout(state, 6, 5, seeded()))
    torch.testing.assert_close(following[-1].sum(-1), (~absent).float())


def test_futures_of_many_groups_at_once() -> None:
    actions = plain((12, 3))
    actions[4, 1] = ABSENT
    quiet = model(config=replace(SMALL, noise=False, draw="argmax"))
    states = quiet.history(actions, torch.tensor([4, 7, 11]))
    together = quiet.rollout(states, 5, 2, seeded())
    assert together.shape == (2, 5, 3, 3)
    for place, tick in enumerate((4, 7, 11)):
        streamed, _ = stream(actions[: tick + 1], quiet)
        assert torch.equal(together[:, :, place], quiet.rollout(streamed, 5, 2, seeded()))
    categorical = replace(SMALL, noise=False)
    futures = model(config=categorical).futures(states, 5, 4, seeded())
    assert futures.marginals.shape == (5, 3, 3, ACTIONS)
    assert (futures.samples[:, :, 0, 1] == ABSENT).all()


def test_samples_follow_the_probabilities() -> None:
    generator = model(config=replace(SMALL, noise=False, temperature=1.0))
    state, following = stream(plain((8, 2)), generator)
    futures = generator.futures(state, 2, 20000, seeded(1))
    torch.testing.assert_close(futures.marginals[0], following[-1], rtol=1e-4, atol=1e-5)
    shares = functional.one_hot(futures.samples, ACTIONS).float().mean(0)  # [2, N, A]
    torch.testing.assert_close(shares, futures.marginals, rtol=0.0, atol=0.015)


def test_noise_makes_futures_differ() -> None:
    noisy, quiet = (model(config=replace(SMALL, draw="argmax", noise=noise)) for noise in (True, False))
    state, _ = stream(plain((8, 3)))
    assert len(torch.unique(noisy.rollout(state, 8, 16, seeded()), dim=0)) > 2
    assert len(torch.unique(quiet.rollout(state, 8, 16, seeded()), dim=0)) == 1


def test_training_and_serving_play_the_same_future() -> None:
    quiet = model(config=replace(SMALL, draw="argmax", noise=False, residual=0.5))
    observed = plain((2, 8, 3))
    observed[1, -1, 0] = ABSENT
    soft = quiet.generate(observed, 6, soft="straight_through")
    torch.testing.assert_close(soft.sum(-1), (observed[:, -1] != ABSENT).float()[:, None].expand(-1, 6, -1))
    for group in range(2):
        states = quiet.history(observed[group], torch.tensor([7]))
        played = quiet.rollout(states, 6, 1, seeded())[0, :, 0]
        hard = functional.one_hot(played.clamp(min=0), ACTIONS) * (played != ABSENT)[..., None]
        torch.testing.assert_close(soft[group], hard.float())


def test_teacher_forced_logits_are_those_of_the_played_future() -> None:
    quiet = model(config=replace(SMALL, noise=False))
    observed = plain((2, 8, 3))
    sharp = quiet.generate(observed, 6, soft="straight_through")
    logits = quiet.log_likelihood_logits(observed, sharp.argmax(-1))
    assert logits.shape == (2, 6, 3, ACTIONS)
    assert torch.equal(logits.argmax(-1), sharp.argmax(-1))
    torch.testing.assert_close(logits[:, 0].softmax(-1), quiet(observed)[:, -1], rtol=1e-4, atol=1e-5)


def test_unknown_target_ticks_hold_the_action_and_later_ones_do_not_leak() -> None:
    observed, target = plain((2, 8, 3)), plain((2, 6, 3), seed=4)
    target[0, 2:4, 1] = ABSENT
    held = target.clone()
    held[0, 2:4, 1] = target[0, 1, 1]
    given_logits = MODEL.log_likelihood_logits(observed, target)
    torch.testing.assert_close(given_logits, MODEL.log_likelihood_logits(observed, held))
    later = held.clone()
    later[:, 3:] = plain((2, 3, 3), seed=8)
    changed = MODEL.log_likelihood_logits(observed, later)
    torch.testing.assert_close(changed[:, :4], given_logits[:, :4])
    assert not torch.allclose(changed[:, 4:], given_logits[:, 4:])


@pytest.mark.parametrize("soft", ["softmax", "straight_through", "gumbel"])
def test_every_parameter_learns_from_a_generated_future(soft: str) -> None:
    generator = model(config=replace(SMALL, residual_trainable=True, temperature=1.0)).train()
    future = generator.generate(plain((6, 8, 3)), 4, generator=seeded(), soft=soft)
    torch.testing.assert_close(future.sum(-1), torch.ones(6, 4, 3))
    if soft != "softmax":
        torch.testing.assert_close(future, future.round())
    (future * torch.randn(future.shape, generator=seeded())).sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        # Batch norm takes out what the bias before it puts in.
        assert name == "decoder.deep.bias" or parameter.grad.abs().max() > 0, name


def test_absent_people_change_nothing_in_training() -> None:
    generator = model(config=replace(SMALL, spectral=False, noise=False)).train()
    observed = plain((4, 8, 3))
    wide = torch.cat([observed, torch.full((4, 8, 2), ABSENT)], dim=2)
    wide[:, :4, 3] = 1  # someone who left
    narrow_future, wide_future = generator.generate(observed, 5), generator.generate(wide, 5)
    torch.testing.assert_close(wide_future[:, :, :3], narrow_future, rtol=1e-4, atol=1e-5)
    assert not wide_future[:, :, 3:].any()
    target = plain((4, 6, 5), seed=2)
    logits = generator.log_likelihood_logits(wide, target)[:, :, :3]
    alone = generator.log_likelihood_logits(observed, target[..., :3])
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_residual_adds_to_the_log_odds_of_staying() -> None:
    free = model(config=replace(SMALL, residual=0.0, noise=False))
    observed = plain((3, 8, 2))
    before = free(observed)[:, -1].log()
    with torch.no_grad():
        free.decoder.residual.fill_(2.0)
    change = free(observed)[:, -1].log() - before
    stay = observed[:, -1, :, None]
    others = functional.one_hot(stay[..., 0], ACTIONS) == 0
    own = change.gather(-1, stay)
    torch.testing.assert_close((own - change)[others], torch.full((3 * 2 * 4,), 2.0), rtol=1e-3, atol=1e-3)


def test_likelihood_training_learns_who_follows_whom() -> None:
    """Person 1 repeats what person 0 did two ticks ago; only the pooled state can tell.

    Two, for what is pooled at a tick has not read the others' last action yet (3.3).
    """
    torch.manual_seed(0)
    config = SocialConfig(observed=4, embedding=16, hidden=24, noise=False, temperature=1.0)
    generator = SocialGenerator(SPACE, config)
    optimiser = torch.optim.Adam(generator.parameters(), lr=2e-2)
    for _ in range(150):
        lead = torch.randint(0, 2, (32, 14))
        actions = torch.stack([lead[:, 2:], 2 + lead[:, :-2]], dim=-1)  # [B, 12, 2]
        logits = generator.log_likelihood_logits(actions[:, :4], actions[:, 4:])
        loss = functional.cross_entropy(logits.flatten(0, 2), actions[:, 4:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # The leader tosses a coin, ln 2; the follower is certain.
    assert loss < 0.45
    following = generator.eval()(actions[:, :8])[:, -1, 1]
    assert (following.argmax(-1) == 2 + actions[:, 6, 0]).float().mean() > 0.9


@pytest.mark.parametrize("batch_norm", [True, False])
def test_what_is_saved_comes_back(tmp_path: Path, batch_norm: bool) -> None:
    original = model(config=replace(SMALL, batch_norm=batch_norm))
    path = tmp_path / "social.safetensors"
    weights.save(path, *original.to_weights())
    loaded = SocialGenerator.from_weights(weights.read(path)).eval()
    assert not any("parametrizations" in name for name in loaded.state_dict())
    assert loaded.space == SPACE
    actions = plain((2, 9, 3))
    torch.testing.assert_close(loaded(actions), original(actions), rtol=1e-4, atol=1e-5)
    again = SocialGenerator.from_weights(weights.read(path), spectral=True, draw="argmax").eval()
    assert again.config == replace(original.config, draw="argmax")
    torch.testing.assert_close(again(actions), original(actions), rtol=1e-2, atol=1e-2)
    never = weights.Weights("x", *model(config=replace(SMALL, spectral=False)).to_weights())
    assert not SocialGenerator.from_weights(never, spectral=True).config.spectral
    original.train()
    original.generate(actions, 2)  # saving has left it as it was


def test_other_weights_are_refused(tmp_path: Path) -> None:
    config, tensors = MODEL.to_weights()
    cases = {
        "kind": ({**config, "kind": "semi_markov"}, tensors),
        "action_masks": ({"kind": "social", "settings": config["settings"]}, tensors),
        "size mismatch": ({**config, "settings": {**config["settings"], "hidden": 9}}, tensors),
        "depth": ({**config, "settings": {**config["settings"], "depth": 9}}, tensors),
        "decoder.out.bias": (config, {k: v for k, v in tensors.items() if k != "decoder.out.bias"}),
    }
    for text, (settings_, kept) in cases.items():
        with pytest.raises(weights.WeightsError, match=text):
            SocialGenerator.from_weights(weights.Weights("x.safetensors", settings_, kept))


@pytest.mark.parametrize(
    ("field", "value"), [("observed", 0), ("hidden", 0), ("temperature", 0.0), ("draw", "best")]
)
def test_bad_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(SMALL, **{field: value})


def test_bad_input_is_refused() -> None:
    state = MODEL.initial_state(2)
    for action in (-2, ACTIONS):
        with pytest.raises(ValueError, match="actions must be"):
            MODEL.step(state, torch.tensor([0, action]))
    with pytest.raises(ValueError, match="slots"):
        MODEL.step(state, torch.tensor([0]))
    for steps, samples in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            MODEL.rollout(state, steps, samples, seeded())
    with pytest.raises(ValueError, match="soft"):
        MODEL.generate(plain((1, 8, 2)), 2, soft="hard")
    with pytest.raises(ValueError, match="does not fit"):
        MODEL.log_likelihood_logits(plain((1, 8, 2)), plain((1, 3, 3)))
