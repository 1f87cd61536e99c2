"""Discriminators: windows against a plain loop, people in any order and number, losses and their signs."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from hmgen_ros.training.social_discriminators import DiscriminatorConfig, SocialDiscriminator
from hmgen_ros.training.social_losses import (
    discriminator_loss,
    generator_loss,
    real_gradient_penalty,
    reconstruction_loss,
)
from hmgen_ros.training.social_streams import KINDS, LocalRNN
from hmgen_ros.training.social_windows import WindowPlan, default_scales

QUICK = settings(deadline=None, max_examples=25)
ACTIONS = 4
SMALL = DiscriminatorConfig(
    observed=6, steps=12, scales=(12, 6, 3, 2), embedding=5, hidden=6, phi=7, psi=8, channels=3
)


def groups(
    batch: int = 3, people: int = 4, seed: int = 0, config: DiscriminatorConfig = SMALL
) -> list[Tensor]:
    """One-hot observed parts and continuations, everybody present; float64."""
    generator = torch.Generator().manual_seed(seed)

    def one_hot(ticks: int) -> Tensor:
        symbols = torch.randint(0, ACTIONS, (batch, ticks, people), generator=generator)
        return functional.one_hot(symbols, ACTIONS).double()

    return [one_hot(config.observed), one_hot(config.steps), torch.ones(batch, people, dtype=torch.bool)]


def discriminator(config: DiscriminatorConfig = SMALL, seed: int = 0) -> SocialDiscriminator:
    torch.manual_seed(seed)
    return SocialDiscriminator(ACTIONS, config).double().eval()


def last_hidden(network: LocalRNN, ticks: Tensor) -> Tensor:
    """``[T, A]`` of one person to ``[H]``."""
    return network.lstm(network.embedding(ticks)[None])[0][0, -1]


def score_by_loops(network: LocalRNN, x: list[Tensor], y: list[Tensor]) -> Tensor:
    """(3.8) to (3.10) as printed: one window of one scale at a time, pooled over the people given."""
    code = torch.stack([last_hidden(network, person) for person in x]).amax(0)
    beta, matrix, head = network.log_beta.exp(), network.code.weight.t(), network.out.weight
    scales = []
    for tau in network.config.scales:
        scores = []
        for start in range(0, len(y[0]) - tau + 1, tau // 2):
            hidden = torch.stack([last_hidden(network, person[start : start + tau]) for person in y]).amax(0)
            phi = functional.leaky_relu(network.phi(hidden), 0.2)
            psi = functional.leaky_relu(network.psi(phi), 0.2)
            likeness = (start + 1) ** (-1 / beta) * (code @ matrix @ phi)
            scores.append(head @ (likeness * torch.ones_like(psi) + psi))
        scales.append(torch.stack(scores).mean())
    return torch.stack(scales).mean()


def test_local_rnn_equals_the_equations_window_by_window() -> None:
    model = discriminator()
    x, y, present = groups(batch=2, people=3)
    scores = model.stream_scores(x, y, present)
    for group in range(2):
        people_x, people_y = list(x[group].unbind(1)), list(y[group].unbind(1))
        indiv, inter = model.networks["indiv"], model.networks["inter"]
        alone = [score_by_loops(indiv, [a], [b]) for a, b in zip(people_x, people_y, strict=True)]
        torch.testing.assert_close(scores["indiv"][group], torch.stack(alone).mean())
        torch.testing.assert_close(scores["inter"][group], score_by_loops(inter, people_x, people_y))
    total = replace(SMALL, lambda_inter=0.25)
    weighted = discriminator(total)
    expected = scores["indiv"] + 0.25 * scores["inter"]
    torch.testing.assert_close(weighted(x, y, present), expected)


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, tuple[int, ...]]:
    length = draw(st.integers(2, 60))
    return length, tuple(draw(st.sets(st.integers(2, length), min_size=1, max_size=5)))


@QUICK
@given(windows())
def test_plan_reads_every_window_of_every_scale(given_windows: tuple[int, tuple[int, ...]]) -> None:
    length, scales = given_windows
    plan = WindowPlan.of(length, scales)
    read: dict[int, list[int]] = {}
    place = 0
    for size in plan.sizes:
        for start in range(size):
            read.setdefault(start, []).append(plan.ticks[place + start])
        place += size
    assert place == len(plan.ticks)
    found = []
    for scale, positions in zip(plan.scales, plan.positions, strict=True):
        for position in positions:
            ticks = read[position][:scale]
            assert ticks == list(range(ticks[0], ticks[0] + scale))
            found.append((scale, ticks[0]))
    wanted = [
        (scale, start)
        for scale in sorted(scales, reverse=True)
        for start in range(0, length - scale + 1, scale // 2)
    ]
    assert found == wanted
    assert [start for _, start in wanted] == list(plan.window_starts)
    assert math.isclose(sum(plan.window_weights), 1.0)
    assert max(max(ticks) for ticks in read.values()) < length


def test_default_scales_are_the_thesis_and_distinct() -> None:
    assert default_scales(40) == (40, 20, 10, 5)
    assert default_scales(80) == (80, 40, 20, 5)
    assert default_scales(20) == (20, 10, 5)
    assert default_scales(40, large=True) == (40, 30, 20, 15, 10, 5)
    assert default_scales(80, large=True) == (80, 60, 40, 30, 20, 5)
    assert DiscriminatorConfig(steps=80).scales == (80, 40, 20, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_people_does_not_matter(kind: str) -> None:
    model = discriminator(replace(SMALL, kind=kind))
    x, y, present = groups()
    present[0, 1] = False
    order = [2, 0, 3, 1]
    torch.testing.assert_close(model(x[:, :, order], y[:, :, order], present[:, order]), model(x, y, present))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("people", [1, 2, 20])
def test_absent_people_change_nothing(kind: str, people: int) -> None:
    model = discriminator(replace(SMALL, kind=kind))
    x, y, present = groups(people=people)
    wide_x, wide_y, wide_present = groups(people=people + 2, seed=1)
    wide_x[:, :, 1 : people + 1], wide_y[:, :, 1 : people + 1] = x, y
    wide_present[:] = False
    wide_present[:, 1 : people + 1] = True
    for name, score in model.stream_scores(x, y, present).items():
        assert score.shape == (3,)
        torch.testing.assert_close(model.stream_scores(wide_x, wide_y, wide_present)[name], score)


@pytest.mark.parametrize("kind", KINDS)
def test_several_continuations_at_once_score_as_alone(kind: str) -> None:
    model = discriminator(replace(SMALL, kind=kind))
    x, real, present = groups()
    fake = groups(seed=5)[1]
    both = model(x, torch.stack([real, fake]), present)
    torch.testing.assert_close(both, torch.stack([model(x, real, present), model(x, fake, present)]))
    assert not torch.allclose(both[0], both[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("people", [0, 3])
def test_nobody_present_is_finite_and_has_finite_gradients(kind: str, people: int) -> None:
    model = discriminator(replace(SMALL, kind=kind))
    x, y, present = groups(people=people)
    y.requires_grad_(True)
    scores = model.stream_scores(x, y, torch.zeros_like(present))
    assert not scores["indiv"].any()
    assert torch.isfinite(scores["inter"]).all()
    sum(score.sum() for score in scores.values()).backward()
    assert y.grad is not None
    assert not y.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_and_tick_gets_a_gradient(kind: str) -> None:
    model = discriminator(replace(SMALL, kind=kind, spectral=False, scales=(12, 6, 4, 2))).train()
    x, y, present = groups()
    y.requires_grad_(True)
    model(x, y, present).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert y.grad is not None
    assert (y.grad.abs().sum((0, 2, 3)) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_observed_matters(kind: str) -> None:
    model = discriminator(replace(SMALL, kind=kind))
    x, y, present = groups()
    for name in ("indiv", "inter"):
        one, other = (model.stream_scores(seen, y, present)[name] for seen in (x, groups(seed=7)[0]))
        assert not torch.allclose(one, other)


def test_streams_can_be_left_out() -> None:
    x, y, present = groups()
    for stream in ("indiv", "inter"):
        model = discriminator(replace(SMALL, streams=(stream,)))
        assert set(model.stream_scores(x, y, present)) == {stream}
        assert model(x, y, present).shape == (3,)


def test_spectral_norm_covers_every_linear_layer_and_convolution() -> None:
    for kind in KINDS:
        model = SocialDiscriminator(ACTIONS, replace(SMALL, kind=kind))
        layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv1d)]
        assert layers
        assert all(hasattr(layer, "parametrizations") for layer in layers)


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", "gan"), ("hidden", 0), ("beta", 0.0), ("streams", ()), ("streams", ("indiv", "indiv")),
     ("streams", ("both",)), ("scales", (13,)), ("scales", (6, 6)), ("scales", (1,)), ("steps", 4)],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field if field != "steps" else "scales|steps"):
        replace(SMALL, **{field: value})


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = discriminator()
    x, y, present = groups()
    for bad in ((x[:, 1:], y, present), (x, y[:, 1:], present), (x, y, present[:, 1:]), (x, y[:1], present)):
        with pytest.raises(ValueError, match="do not fit"):
            model(*bad)


def test_losses_push_the_right_way() -> None:
    assert discriminator_loss(torch.tensor([2.0, 1.0]), torch.tensor([-1.0, -3.0])) == 0.0
    assert discriminator_loss(torch.tensor([0.5]), torch.tensor([0.0])) == 1.5
    assert discriminator_loss(torch.tensor([-1.0]), torch.tensor([1.0])) == 4.0
    assert generator_loss(torch.tensor([1.0, 3.0])) == -2.0


def test_a_discriminator_learns_to_tell_steady_from_flickering() -> None:
    torch.manual_seed(0)
    model = SocialDiscriminator(ACTIONS, SMALL)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    x, flicker, present = groups(batch=16)
    x, flicker = x.float(), flicker.float()
    steady = flicker[:, :1].expand_as(flicker)
    for _ in range(40):
        real, fake = model(x, torch.stack([steady, flicker]), present)
        loss = discriminator_loss(real, fake)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    new_x, new_flicker, _ = (part.float() for part in groups(batch=16, seed=9))
    model.eval()
    scores = model(new_x, torch.stack([new_flicker[:, :1].expand_as(new_flicker), new_flicker]), present)
    assert scores[0].min() > scores[1].max()


def test_reconstruction_leaves_unknown_ticks_out() -> None:
    target = groups(batch=2)[1]
    generated = torch.full_like(target, 1 / ACTIONS)
    per_row = (1 - 1 / ACTIONS) ** 2 + (ACTIONS - 1) / ACTIONS**2
    rows = target.shape[1] * target.shape[2]
    torch.testing.assert_close(reconstruction_loss(generated, target).item(), rows * per_row)
    target[:, 0, 0] = 0.0
    torch.testing.assert_close(reconstruction_loss(generated, target).item(), (rows - 1) * per_row)
    with pytest.raises(ValueError, match="differ"):
        reconstruction_loss(generated, target[:, 1:])


def test_gradient_penalty_is_the_squared_slope_and_can_be_learned_from() -> None:
    model = discriminator()
    x, y, present = groups(batch=2)
    penalty = real_gradient_penalty(model, x, y, present)
    gradient = y.clone().requires_grad_(True)
    model(x, gradient, present).sum().backward()
    assert gradient.grad is not None
    torch.testing.assert_close(penalty.detach(), gradient.grad.square().sum((1, 2, 3)).mean())
    penalty.backward()
    lstm = model.networks["inter"].lstm
    assert lstm.recurrent.grad is not None
    assert lstm.recurrent.grad.abs().max() > 0
