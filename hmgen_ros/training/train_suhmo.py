"""Trains any system of the thesis' chapter 4, and ours, on landmark tracks; one run folder a system and seed.

The training part of the tracks gives the windows, the validation part the curves and the choice of the best
model; the test part is not read. See :mod:`hmgen_ros.training.run_log` for what a run leaves behind and
:mod:`hmgen_ros.training.motion_systems` for what each system is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from rich.console import Console

from hmgen_ros.data.ami import data_directory
from hmgen_ros.data.track_parts import part_of
from hmgen_ros.data.tracks import Corpus
from hmgen_ros.generators.actor import Actor, ActorConfig
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.hit_dvae import HitDvae, HitDvaeConfig
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig
from hmgen_ros.generators.suhmo import Suhmo, SuhmoConfig
from hmgen_ros.training.adversarial_steps import AdversarialMotionStep, SquaredErrorStep
from hmgen_ros.training.command_line import command_line
from hmgen_ros.training.energy_score import EnergyScore
from hmgen_ros.training.energy_steps import EnergyStep
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import OPTIONS, LoopConfig, check_ship, console_of, seed_iteration
from hmgen_ros.training.motion_card import ship
from hmgen_ros.training.motion_steps import MotionSettings, MotionStep, OwnLossStep
from hmgen_ros.training.motion_systems import SIZES, SYSTEMS, MotionSystem, MotionSystemName, Sizes
from hmgen_ros.training.motion_validation import MotionValidation, some_windows
from hmgen_ros.training.motion_windows import MotionWindows, WindowSettings
from hmgen_ros.training.run_log import RunFolder
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.suhmo_discriminators import MotionJudge, MotionJudgeConfig

#: Beside the loop's own: where things lie does not change a run's numbers.
_PLACES = ("data", "out", "models", "ship")
#: Windows that units and main directions are measured on.
_MEASURED = 4000


@dataclass(frozen=True, kw_only=True)
class SuhmoTrainConfig(LoopConfig):
    """Settings of one run; None takes what the size or the system is defined with.

    Attributes:
        data: folder of tracks (``tracks_manifest.csv``, or any ``.npz`` in it or below); HMGEN_DATA or
            ``../shared/data`` where none is given.
        out: folder of the run folders, each named ``<system>-<size>-s<seed>``.
        system: which system, see ``hmgen_ros/training/motion_systems.py``.
        size: "small" for a few minutes on one core, or "thesis": hidden size 1024, batch 120, rates 2e-5 and
            1e-5 (then give some 60000 iterations).
        steps: ticks that the generator learns to go on; the thesis has 40.
        hidden: size of the generator.
        judge_hidden: size of the discriminators; a Transformer's tokens have 128 at most, as in the thesis.
        judge_windows: windows that the multi-scale discriminators see in each iteration.
        batch: heads an iteration and process, even.
        generator_rate: Adam's learning rate of the generator.
        discriminator_rate: Adam's learning rate of the discriminators.
        betas: Adam's, of both.
        lambda_reco: weight of the squared error (4.11); the thesis has 1e-2.
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
        decay_from: iteration from which the rates are a tenth; None keeps them.
        decay_over: from there on the rates fall to nothing within so many iterations, along half a cosine,
            instead of at once to a tenth.
        averaging: the generator that is measured and kept is the exponential average of the weights, which
            keeps this part at each iteration (0.995, say); 0 takes the present ones.
        centred: take the translation of heads out (the thesis' VoxCeleb2 (I)) instead of keeping it.
        far_frames: probability that a head's frame is made from another pose of its track than the first.
        mirror: probability of a mirrored head.
        stretch: faces are wider or narrower by a factor of up to ``1 + stretch``.
        by_duration: windows are drawn from each piece of a track by its duration, not by how many it has.
        between_heads: weight of the energy distance between all futures of a batch and all its true tracks
            (noise_driven), beside the energy score of each head's own; see
            ``hmgen_ros/training/energy_score.py``.
        temperature: what noise_driven's noise is multiplied by in use; 1 takes it as learned.
        validation_windows: held-out windows that each evaluation generates futures for.
        ship: write the best model to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    iterations: int = 2000
    data: Path | None = None
    out: Path = Path("out/suhmo")
    system: MotionSystemName = "suhmo_rnn"
    size: Literal["small", "thesis"] = "small"
    steps: int = 40
    hidden: int | None = None
    judge_hidden: int | None = None
    judge_windows: int | None = None
    batch: int | None = None
    generator_rate: float | None = None
    discriminator_rate: float | None = None
    betas: tuple[float, float] = (0.5, 0.999)
    lambda_reco: float = 1e-2
    clip_norm: float = 1.0
    decay_from: int | None = None
    decay_over: int | None = None
    averaging: float = 0.0
    centred: bool = False
    far_frames: float = 0.0
    mirror: float = 0.5
    stretch: float = 0.08
    by_duration: bool = False
    between_heads: float = 0.0
    temperature: float = 1.0
    validation_windows: int = 500
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("system", SYSTEMS), ("size", SIZES)):
            if getattr(self, name) not in known:
                raise ValueError(f"no {name} {getattr(self, name)!r}; one of: {', '.join(known)}")
        for name in (
            "steps",
            "hidden",
            "judge_hidden",
            "judge_windows",
            "batch",
            "validation_windows",
            "decay_over",
        ):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.filled("batch") % 2:
            raise ValueError(f"batch must be even, heads come in pairs; got {self.filled('batch')}")
        for name in ("generator_rate", "discriminator_rate"):
            if (rate := getattr(self, name)) is not None and not rate > 0.0:
                raise ValueError(f"{name} must be above 0, got {rate}")
        for name in ("lambda_reco", "clip_norm", "between_heads"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not 0.0 <= self.averaging < 1.0:
            raise ValueError(f"averaging must lie in [0, 1), got {self.averaging}")
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")
        if self.decay_from is not None and self.decay_from < 0:
            raise ValueError(f"decay_from must be at least 0, got {self.decay_from}")
        check_ship(self.ship)
        if not 0.0 < self.temperature <= 2.0:
            raise ValueError(f"temperature must lie in (0, 2], got {self.temperature}")
        self.windows()

    def filled(self, name: str) -> Any:
        """A setting, or what the system or the size says."""
        value = getattr(self, name)
        return getattr(SYSTEMS[self.system].sizes(self.size), name) if value is None else value

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        return RunFolder(self.out / f"{self.system}-{self.size}-s{self.seed}")

    def windows(self) -> WindowSettings:
        """How windows are cut and varied."""
        return WindowSettings(
            translation=not self.centred,
            far_frames=self.far_frames,
            mirror=self.mirror,
            stretch=self.stretch,
            by_duration=self.by_duration,
        )

    def settings(self) -> MotionSettings:
        """The settings of one iteration."""
        sizes = {f.name for f in fields(Sizes)}
        names = [f.name for f in fields(MotionSettings) if f.name != "seeds"]
        given = {name: self.filled(name) if name in sizes else getattr(self, name) for name in names}
        return MotionSettings(**given, seeds=SYSTEMS[self.system].seeds)


def train(config: SuhmoTrainConfig, console: Console | None = None) -> Path:
    """Train one system, or go on with its run; returns the run folder.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged, or a part of them is empty.
        hmgen_ros.training.run_log.RunError: the run folder holds a run with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a file of the run is damaged.
    """
    fabric = config.launch()
    console = console_of(fabric, console)
    finished, corpus = _run(config, fabric, console)
    shipment = Shipment.asked(config, fabric, command(config))
    if finished and shipment:
        console.print(f"wrote {ship(shipment, SYSTEMS[config.system], corpus)}", highlight=False)
    return config.folder.path


def command(config: SuhmoTrainConfig) -> str:
    """The command line that trains with these settings, without the folders."""
    return command_line("suhmo", config)


def _run(config: SuhmoTrainConfig, fabric: Fabric, console: Console) -> tuple[bool, Corpus]:
    """Whether the run has come to its end, and what it was trained on."""
    folder, system = config.folder, SYSTEMS[config.system]
    settings = _settings(config)
    if fabric.is_global_zero:
        folder.check(settings, config.force)
    training, held_out = (corpus_of(config, split) for split in ("train", "validation"))
    fabric.barrier()
    if not config.force and folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True, training
    console.print(f"[bold]{config.system}[/]: {system.text}", highlight=False)
    for name, corpus in (("training", training), ("validation", held_out)):
        console.print(describe(name, corpus), highlight=False)
    step = make_step(config, training, held_out)
    if fabric.is_global_zero:
        folder.prepare(settings, _options(config), config.force)
    fabric.barrier()
    return Loop(fabric, step, config, folder, console, metric=system.metric).run(), training


def describe(name: str, corpus: Corpus) -> str:
    """One line: how much, of whom, and what was cleaned away."""
    cleaned = ", ".join(f"{cause} {amount}" for cause, amount in corpus.counts.items())
    minutes = corpus.ticks / 25 / 60
    pieces = f"{len(corpus.segments)} pieces, {minutes:.1f} min of {', '.join(corpus.speakers)}"
    return f"{name}: {pieces} ({cleaned or 'nothing to clean'})"


def make_step(config: SuhmoTrainConfig, training: Corpus, held_out: Corpus) -> MotionStep:
    """The iteration of a system: generator and discriminators, units measured, windows laid out."""
    system, settings = SYSTEMS[config.system], config.settings()
    windows = MotionWindows(training, settings.seeds + config.steps, config.windows())
    # The same windows for every system, however it draws its own.
    plain = replace(config.windows(), by_duration=False)
    validation = MotionValidation(
        MotionWindows(training, config.steps + 1, plain),
        MotionWindows(held_out, config.steps + 1, plain),
        config.validation_windows,
    )
    seed_iteration(config.seed, 0, 0)
    model = make_generator(config, system)
    rows = torch.from_numpy(np.linspace(0, len(windows) - 1, min(_MEASURED, len(windows))).astype(np.int64))
    poses, reference = windows.draw(rows)
    model.fit_units(poses, reference)
    # Heads run for minutes: they may go wherever they do on their tracks, not only within a window.
    anywhere, home = windows.draw(rows, anywhere=True)
    model.plausible.fit(anywhere.flatten(0, 1), home.repeat_interleave(anywhere.shape[1], dim=0))
    if system.objective == "own":
        return OwnLossStep(model, windows, settings, validation)
    if isinstance(model, NoiseDriven):
        score = EnergyScore(config.steps)
        score.fit(poses)
        unseen = some_windows(MotionWindows(held_out, config.steps + 1, plain), config.validation_windows)
        return EnergyStep(model, score, windows, unseen, settings, validation)
    assert isinstance(model, Suhmo)
    if system.objective == "squared_error":
        return SquaredErrorStep(model, windows, settings, validation)
    judge = MotionJudge(_judge_config(config))
    judge.fit_units(poses)
    return AdversarialMotionStep(model, judge, windows, settings, validation)


def make_generator(config: SuhmoTrainConfig, system: MotionSystem) -> FramedMotion[Any]:
    """An untrained generator."""
    hidden, changes = config.filled("hidden"), system.generator
    if system.model == "suhmo":
        return Suhmo(SuhmoConfig(hidden=hidden, layers=(hidden, hidden), **changes))
    if system.model == "noise_driven":
        return NoiseDriven(NoiseDrivenConfig(hidden=hidden, temperature=config.temperature, **changes))
    if system.model == "actor":
        return Actor(ActorConfig.thesis() if config.size == "thesis" else ActorConfig(**changes))
    return HitDvae(HitDvaeConfig.thesis() if config.size == "thesis" else HitDvaeConfig(**changes))


def _judge_config(config: SuhmoTrainConfig) -> MotionJudgeConfig:
    changes = dict(SYSTEMS[config.system].judge)
    hidden = config.filled("judge_hidden")
    if changes.get("network") == "transformer":
        hidden = min(hidden, 128)
    return MotionJudgeConfig(hidden=hidden, windows=config.filled("judge_windows"), **changes)


def corpus_of(config: SuhmoTrainConfig, split: str) -> Corpus:
    """The pieces of tracks of one part; raises CorpusError as :func:`train` does."""
    return part_of(data_directory(config.data), split)


def _settings(config: SuhmoTrainConfig) -> dict[str, Any]:
    """What decides the numbers of the run, with what size and system fill in."""
    given = {name: value for name, value in asdict(config).items() if name not in (*OPTIONS, *_PLACES)}
    return {**given, **{f.name: config.filled(f.name) for f in fields(Sizes)}}


def _options(config: SuhmoTrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in OPTIONS}
