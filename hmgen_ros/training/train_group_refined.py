"""Refines the group-attention forecaster adversarially: does a judge of whole futures add to likelihood?

Likelihood looks one tick ahead; whether the futures that come of it are lifelike as a whole is what the
discriminator of the thesis' chapter 3 judges (:mod:`hmgen_ros.training.social_discriminators`). Sampled
symbols pass no gradient, and a forecaster that samples from change to change has none to pass, so the score
is a reward: of several futures of one past, those with a score above the others' mean become likelier
(REINFORCE with a leave-one-out baseline, as SeqGAN does for text). The likelihood of the next tick stays in
the loss, for the wish is to refine; the discriminator can have a penalty on real data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from hmgen_ros.data.ami import complete_meetings, data_directory, headless_meetings
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.group_attention import GroupAttention, GroupAttentionState
from hmgen_ros.training.command_line import command_line
from hmgen_ros.training.group_data import TARGET, GroupData
from hmgen_ros.training.group_rewards import Moments, RewardedLoss
from hmgen_ros.training.group_samples import GroupSamples
from hmgen_ros.training.group_validation import GroupValidation
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import (
    OPTIONS,
    LoopConfig,
    batch_indices,
    check_batch,
    console_of,
    seed_iteration,
)
from hmgen_ros.training.run_log import RunError, RunFolder
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.social_card import ship
from hmgen_ros.training.social_discriminators import DiscriminatorConfig, SocialDiscriminator
from hmgen_ros.training.social_losses import discriminator_loss, real_gradient_penalty
from hmgen_ros.training.social_steps import hold_gaps, one_hot
from hmgen_ros.training.social_windows import default_scales
from hmgen_ros.training.train_group_attention import (
    SEEN,
    TEXT,
    GroupAttentionTrainConfig,
)

_PLACES = ("data", "out", "models", "ship")
_R1_EVERY = 8


@dataclass(frozen=True, kw_only=True)
class GroupRefineConfig(LoopConfig):
    """Settings of one run.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the run folders; it must hold the finished run ``<start>-t40-reco0-s<seed>``.
        start: name of the run of ``hmgen train attention`` whose best model is refined.
        batch: pasts whose futures are judged, an iteration and process.
        futures: of each past, at least 2.
        likelihood_batch: groups an iteration and process whose next tick's likelihood is in the loss.
        generator_rate: Adam's learning rate of the forecaster.
        discriminator_rate: Adam's learning rate of the discriminator.
        hidden: of the discriminator.
        r1: weight of its gradient penalty on real data.
        lambda_adversarial: weight of the reward against the likelihood.
        warm_up: iterations that the discriminator learns alone, until its scores mean something.
        ship: write the best model to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    iterations: int = 500
    eval_every: int = 100
    data: Path | None = None
    out: Path = Path("out/social")
    start: str = "attention"
    batch: int = 16
    futures: int = 4
    likelihood_batch: int = 256
    generator_rate: float = 2e-4
    discriminator_rate: float = 1e-3
    hidden: int = 32
    r1: float = 0.0
    lambda_adversarial: float = 0.1
    warm_up: int = 200
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        least_of = {"batch": 1, "futures": 2, "likelihood_batch": 1, "hidden": 1, "warm_up": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("generator_rate", "discriminator_rate"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("r1", "lambda_adversarial"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        return RunFolder(self.out / f"{self.start}_refined-t{TARGET}-reco0-s{self.seed}")

    @property
    def started_from(self) -> GroupAttentionTrainConfig:
        """The run that is refined."""
        return GroupAttentionTrainConfig(name=self.start, seed=self.seed, data=self.data, out=self.out)


class GroupRefineStep:
    """What the loop asks for; see :class:`hmgen_ros.training.loop_config.Trainable`."""

    def __init__(
        self,
        model: GroupAttention,
        samples: GroupSamples,
        moments: Moments,
        validation: GroupValidation,
        config: GroupRefineConfig,
    ) -> None:
        self._model, self._samples, self._moments = model, samples, moments
        self._validation, self._config = validation, config
        sizes = DiscriminatorConfig(
            steps=TARGET, scales=default_scales(TARGET, False), embedding=config.hidden, hidden=config.hidden
        )
        self._discriminator = SocialDiscriminator(len(model.space), sizes)
        self._adam: Optimizer = Adam(model.parameters(), config.generator_rate)
        self._judge_adam: Optimizer = Adam(self._discriminator.parameters(), config.discriminator_rate)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"model": self._model, "discriminator": self._discriminator}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of both."""
        return {"model": self._adam, "discriminator": self._judge_adam}

    @property
    def epoch(self) -> int:
        """Iterations that see each past once."""
        return max(1, len(self._moments.target) // (self._config.batch * self._fabric.world_size))

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        self._fabric = fabric
        self._wrapped, self._adam = fabric.setup(RewardedLoss(self._model), self._adam)
        self._judge, self._judge_adam = fabric.setup(self._discriminator, self._judge_adam)

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration: sample futures, train the judge on them, reward those that it likes."""
        config, device = self._config, self._fabric.device
        # Futures are drawn without dropout, so their likelihood is taken without it, too. Switching makes
        # the sampler's arrays of the present weights anew.
        self._model.eval()
        moments = self._moments.take(self._mine(len(self._moments.target), config.batch, iteration), device)
        with torch.no_grad():
            past = moments.states
            codes = self._model.codes(past, self._model.rates.log_ratios(past.counts))
            kept = {f.name: getattr(past, f.name) for f in fields(past)}
            states = GroupAttentionState(**{**kept, "code": codes})
            random = torch.Generator().manual_seed(int(torch.randint(1 << 62, ())))
            future = self._model.rollout(states, TARGET, config.futures, random)  # [S, T, B, N]
        losses = self._train_judge(moments, future, iteration)
        if iteration < config.warm_up:
            return losses
        score = self._judge_scores(moments, future)  # [S, B]
        share = config.futures / (config.futures - 1)
        advantage = share * (score - score.mean(0)) / score.std().clamp(min=1e-3)
        index = self._mine(len(self._samples), config.likelihood_batch, iteration)
        self._adam.zero_grad()
        nll, rewarded = self._wrapped(self._samples.take(index, device), states, future, advantage)
        self._fabric.backward(nll + config.lambda_adversarial * rewarded)
        self._fabric.clip_gradients(self._wrapped, self._adam, max_norm=1.0)
        self._adam.step()
        return losses | {"nll_tick": float(nll.detach()), "rewarded": float(rewarded.detach())}

    def validate(self) -> dict[str, float]:
        """Forecasts and futures of the validation series."""
        self._model.eval()
        return self._validation(self._model)

    def reference(self) -> dict[str, float]:
        """The data's own values."""
        return self._validation.reference

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The model file."""
        return self._model.to_weights()

    def _mine(self, count: int, batch: int, iteration: int) -> Tensor:
        """Which samples this process takes."""
        world, rank = self._fabric.world_size, self._fabric.global_rank
        return torch.from_numpy(
            batch_indices(count, batch * world, iteration, self._config.seed)[rank::world]
        )

    def _train_judge(self, moments: Moments, future: Tensor, iteration: int) -> dict[str, float]:
        config, present = self._config, moments.observed[:, -1] != ABSENT
        observed, fake, real = self._continuations(moments, future)
        self._judge_adam.zero_grad()
        if config.r1 and iteration % _R1_EVERY == 0:
            penalty = real_gradient_penalty(self._discriminator, observed, real, present)
            self._fabric.backward(config.r1 * _R1_EVERY * penalty)
        true, *generated = self._judge(observed, torch.cat([real[None], fake]), present)
        generated = torch.stack(generated)
        loss = discriminator_loss(true, generated)
        self._fabric.backward(loss)
        self._judge_adam.step()
        scores = {"score_real": float(true.detach().mean()), "score_fake": float(generated.detach().mean())}
        return {"discriminator": float(loss.detach()), **scores}

    @torch.no_grad()
    def _judge_scores(self, moments: Moments, future: Tensor) -> Tensor:
        observed, fake, _ = self._continuations(moments, future)
        scores: Tensor = self._discriminator(observed, fake, moments.observed[:, -1] != ABSENT)
        return scores

    def _continuations(self, moments: Moments, future: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Observed ``[B, 60, N, A]``, sampled ``[S, B, T, N, A]`` and real ``[B, T, N, A]`` actions.

        Where the real action is not known it is the first sample's, so that gaps tell nothing.
        """
        actions, sampled = len(self._model.space), future.transpose(1, 2)
        real = torch.where(moments.target == ABSENT, sampled[0], moments.target)
        return (
            one_hot(hold_gaps(moments.observed), actions),
            one_hot(sampled, actions),
            one_hot(real.masked_fill(moments.observed[:, -1:] == ABSENT, ABSENT), actions),
        )


def train(config: GroupRefineConfig, console: Console | None = None) -> Path:
    """Refine, or go on with the run; returns the run folder.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.training.run_log.RunError: the run to start from is missing, or the run folder holds a run
            with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a file of a run is damaged.
    """
    fabric = config.launch()
    console = console_of(fabric, console)
    shipment = Shipment.asked(config, fabric, command(config))
    if _run(config, fabric, console) and shipment:
        meetings = complete_meetings(data_directory(config.data) / "ami_25hz", "train")
        if config.started_from.headless:
            meetings += headless_meetings(data_directory(config.data) / "ami_25hz", "train")
        text = f"{TEXT}. Refined adversarially"
        console.print(f"wrote {ship(shipment, text, meetings, 'NLL', SEEN)}", highlight=False)
    return config.folder.path


def command(config: GroupRefineConfig) -> str:
    """The command line that refines with these settings, without the folders."""
    return command_line("attention-refined", config)


def _run(config: GroupRefineConfig, fabric: Fabric, console: Console) -> bool:
    """Whether the run has come to its end."""
    folder, before = config.folder, config.started_from
    if not before.folder.best.is_file():
        raise RunError(
            f"no model in {before.folder.path}; first run: hmgen train attention --seed {config.seed}"
        )
    given = asdict(config)
    settings = {name: value for name, value in given.items() if name not in (*OPTIONS, *_PLACES)}
    settings |= {"system": f"{config.start}_refined", "target": TARGET}
    if fabric.is_global_zero:
        folder.check(settings, config.force)
    fabric.barrier()
    if not config.force and folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True
    model = GroupAttention.from_weights(weights.read(before.folder.best))
    corpus = data_directory(config.data) / "ami_25hz"
    data = GroupData.read(corpus, before.headless, before.share, before.limit, model.space)
    samples = data.samples(model, before.quiet, config.seed)
    moments = Moments.of(model, data.prepared, data.complete)
    check_batch(len(moments.target), config.batch * fabric.world_size)
    check_batch(len(samples), config.likelihood_batch * fabric.world_size)
    validation = data.validation(config.out, fabric, console)
    seed_iteration(config.seed, 0, 0)
    step = GroupRefineStep(model, samples, moments, validation, config)
    if fabric.is_global_zero:
        folder.prepare(settings, {name: given[name] for name in OPTIONS}, config.force)
    fabric.barrier()
    return Loop(fabric, step, config, folder, console, metric="nll").run()
