"""Trains any system of the thesis' chapter 3 on the AMI meetings, one run folder a system and seed.

The training part gives the samples and the action space, the validation part the curves and the choice of
the best model; the test part is not read. See :mod:`hmgen_ros.training.run_log` for what a run leaves
behind and :mod:`hmgen_ros.training.social_systems` for what each system is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.fabric import Fabric
from rich.console import Console

from hmgen_ros.data.ami import complete_meetings, data_directory
from hmgen_ros.data.preparation import Prepared, prepare
from hmgen_ros.generators import weights
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.generators.social_networks import SocialConfig
from hmgen_ros.training.command_line import command_line
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import OPTIONS, LoopConfig, console_of, seed_iteration
from hmgen_ros.training.run_log import RunError, RunFolder
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.social_card import ship
from hmgen_ros.training.social_discriminators import DiscriminatorConfig, SocialDiscriminator
from hmgen_ros.training.social_steps import (
    AdversarialStep,
    GeneratorStep,
    LikelihoodStep,
    NoGanStep,
    StepSettings,
    Validation,
)
from hmgen_ros.training.social_systems import SYSTEMS, SystemName
from hmgen_ros.training.social_validation import SocialValidation, inception_net
from hmgen_ros.training.social_windows import default_scales

#: What the generator knows of people.
SEEN = "the last 60 ticks (2.4 s)"
#: Beside the loop's own: where things lie does not change a run's numbers.
_PLACES = ("data", "out", "models", "ship")
#: What the system decides where it is None.
_BY_SYSTEM = (
    "generator_rate",
    "discriminator_rate",
    "residual",
    "temperature",
    "soft",
    "r1",
    "lambda_likelihood",
    "clip_norm",
)


@dataclass(frozen=True, kw_only=True)
class SocialTrainConfig(LoopConfig):
    """Settings of one run; None takes what the system is defined with.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the run folders, each named ``<system>-t<target>-reco<lambda_reco>-s<seed>``.
        system: which system of the chapter, see ``hmgen_ros/training/social_systems.py``.
        target: ticks of future, 40 (1.6 s) or 80.
        lambda_reco: weight of the squared error (3.14); the thesis has 0 and 1e-3.
        batch: samples an iteration and process.
        hidden: size of embedding and LSTM states of the generator, and of the discriminator's LSTM.
        generator_rate: Adam's learning rate of the generator.
        discriminator_rate: Adam's learning rate of the discriminator.
        betas: Adam's, of both.
        residual: starting value of the constant on the logit of the previous action.
        temperature: of the softmax (3.6); the thesis has 0.1.
        batch_norm: batch norm in the generator's output, as in the thesis.
        soft: how generated actions reach the discriminator: "softmax", "straight_through" or "gumbel".
        r1: weight of the gradient penalty on real data.
        lambda_likelihood: weight of the likelihood beside the adversarial loss.
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
        validation_windows: held-out samples that each evaluation generates futures for.
        sfid_iterations: of the training of the network behind SFID, where none is shipped for the action
            space of the data.
        warm_iterations: length of the run that a refined system starts from, where there is none yet.
        ship: write the best model to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    data: Path | None = None
    out: Path = Path("out/social")
    system: SystemName = "local_rnn"
    target: Literal[40, 80] = 40
    lambda_reco: float = 0.0
    batch: int = 32
    hidden: int = 64
    generator_rate: float | None = None
    discriminator_rate: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    residual: float | None = None
    temperature: float | None = None
    batch_norm: bool = True
    soft: Literal["softmax", "straight_through", "gumbel"] | None = None
    r1: float | None = None
    lambda_likelihood: float | None = None
    clip_norm: float | None = None
    validation_windows: int = 500
    sfid_iterations: int = 1000
    warm_iterations: int = 3000
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.system not in SYSTEMS:
            raise ValueError(f"no system {self.system!r}; one of: {', '.join(SYSTEMS)}")
        if self.target not in (40, 80):
            raise ValueError(f"target must be 40 or 80 ticks, got {self.target}")
        for name in ("batch", "hidden", "validation_windows", "sfid_iterations", "warm_iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("generator_rate", "discriminator_rate", "temperature"):
            if (rate := getattr(self, name)) is not None and not rate > 0.0:
                raise ValueError(f"{name} must be above 0, got {rate}")
        for name in ("lambda_reco", "r1", "lambda_likelihood", "clip_norm"):
            if (weight := getattr(self, name)) is not None and not weight >= 0.0:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")
        if self.ship is not None and (not self.ship or set(self.ship) & set("/\\")):
            raise ValueError(f"ship must be the name of a model, got {self.ship!r}")

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        name = f"{self.system}-t{self.target}-reco{self.lambda_reco:g}-s{self.seed}"
        return RunFolder(self.out / name)

    def steps(self) -> StepSettings:
        """The settings of one iteration: given here, else the system's."""
        given = {f.name: getattr(self, f.name) for f in fields(StepSettings) if hasattr(self, f.name)}
        system = {name: getattr(SYSTEMS[self.system], name) for name in given if given[name] is None}
        return StepSettings(**{**given, **system})


def train(config: SocialTrainConfig, console: Console | None = None) -> Path:
    """Train one system, or go on with its run; returns the run folder.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.training.run_log.RunError: the run folder holds a run with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a file of the run is damaged.
    """
    fabric = config.launch()
    console = console_of(fabric, console)
    shipment = Shipment.asked(config, fabric, command(config))
    if _run(config, fabric, console) and shipment:
        meetings = complete_meetings(data_directory(config.data) / "ami_25hz", "train")
        text = f"SocialInteractionGAN's generator, system `{config.system}`: {SYSTEMS[config.system].text}"
        console.print(f"wrote {ship(shipment, text, meetings, 'SFID', SEEN)}", highlight=False)
    return config.folder.path


def command(config: SocialTrainConfig) -> str:
    """The command line that trains with these settings, without the folders."""
    return command_line("social", config)


def _run(config: SocialTrainConfig, fabric: Fabric, console: Console) -> bool:
    """Whether the run has come to its end."""
    folder, settings = config.folder, _settings(config)
    if fabric.is_global_zero:
        folder.check(settings, config.force)
    fabric.barrier()
    if not config.force and folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True
    warm = _warm_start(config, fabric, console)
    training, held_out = _samples(config)
    console.print(f"[bold]{config.system}[/]: {SYSTEMS[config.system].text}")
    console.print(training.table)
    console.print(f"{len(training.observed)} training samples, {len(held_out.observed)} for validation")
    net = inception_net(training, config.sfid_iterations, config.out, fabric, console)
    validation = SocialValidation.of(net, training, held_out, config.validation_windows)
    step = make_step(config, training, validation, warm)
    if fabric.is_global_zero:
        folder.prepare(settings, _options(config), config.force)
    fabric.barrier()
    return Loop(fabric, step, config, folder, console).run()


def _settings(config: SocialTrainConfig) -> dict[str, Any]:
    """What decides the numbers of the run, with what the system fills in."""
    given = {name: value for name, value in asdict(config).items() if name not in (*OPTIONS, *_PLACES)}
    networks: dict[str, Any] = {"generator": asdict(_generator_config(config))}
    if SYSTEMS[config.system].objective == "adversarial":
        networks["discriminator"] = asdict(_discriminator_config(config))
    return given | asdict(config.steps()) | networks


def _options(config: SocialTrainConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name in OPTIONS}


def _generator_config(config: SocialTrainConfig) -> SocialConfig:
    changes = dict(SYSTEMS[config.system].generator)
    given = {"residual": config.residual, "temperature": config.temperature}
    changes |= {name: value for name, value in given.items() if value is not None}
    return SocialConfig(
        embedding=config.hidden, hidden=config.hidden, batch_norm=config.batch_norm, **changes
    )


def _discriminator_config(config: SocialTrainConfig) -> DiscriminatorConfig:
    system = SYSTEMS[config.system]
    scales = default_scales(config.target, system.large)
    changes = {"embedding": config.hidden, "hidden": config.hidden, **system.discriminator}
    return DiscriminatorConfig(steps=config.target, scales=scales, **changes)


def _warm_start(config: SocialTrainConfig, fabric: Fabric, console: Console) -> weights.Weights | None:
    """The best model of the run that this system starts from; trained first where it is missing.

    Raises:
        RunError: that run was stopped before its end.
    """
    system = SYSTEMS[config.system].warm_start
    if not system:
        return None
    cleared: dict[str, Any] = dict.fromkeys(_BY_SYSTEM)
    before = replace(
        config,
        system=system,
        lambda_reco=0.0,
        iterations=config.warm_iterations,
        force=False,
        **cleared,
    )
    if not before.folder.finished(before.iterations) and not _run(before, fabric, console):
        raise RunError(f"{before.folder.path} was stopped; the same command goes on with it")
    return weights.read(before.folder.best)


def _samples(config: SocialTrainConfig) -> tuple[Prepared, Prepared]:
    """Training and validation samples in the action space of the training part."""
    folder = data_directory(config.data) / "ami_25hz"
    preparation = SYSTEMS[config.system].preparation(config.target)
    training = prepare([m.masks for m in complete_meetings(folder, "train")], preparation)
    held_out = [m.masks for m in complete_meetings(folder, "validation")]
    return training, prepare(held_out, preparation, training.space)


def make_step(
    config: SocialTrainConfig, training: Prepared, validation: Validation, warm: weights.Weights | None = None
) -> GeneratorStep:
    """The iteration of a system.

    Args:
        config: which system, and its settings.
        training: samples.
        validation: of the generator.
        warm: a trained generator to start from; a fresh one where None.
    """
    system, settings = SYSTEMS[config.system], config.steps()
    seed_iteration(config.seed, 0, 0)
    if warm is None:
        generator = SocialGenerator(training.space, _generator_config(config))
    else:
        generator = SocialGenerator.from_weights(warm, spectral=True)
    if system.objective == "likelihood":
        return LikelihoodStep(generator, training, settings, validation)
    if system.objective == "reconstruction":
        return NoGanStep(generator, training, settings, validation)
    discriminator = SocialDiscriminator(len(training.space), _discriminator_config(config))
    return AdversarialStep(generator, discriminator, training, settings, validation)
