"""Trains any system of the thesis' chapter 5, and ours, on landmark tracks with sound.

The training part of the tracks gives the windows, the validation part the curves and the choice of the best
model; the test part is not read. Two shipped pyramids of syncers are needed: one to train with, another one
to measure with. See :mod:`hmgen_ros.training.speech_systems` for what each system is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_fabric.fabric import Fabric
from rich.console import Console

from hmgen_ros.data.speech_tracks import SpeechSegment, at_speed, speech_part
from hmgen_ros.data.tracks import Corpus
from hmgen_ros.generators.ms_sync import MsSync, MsSyncConfig
from hmgen_ros.training.command_line import command_line
from hmgen_ros.training.energy_score import EnergyScore
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import OPTIONS, LoopConfig, check_ship, console_of, seed_iteration
from hmgen_ros.training.motion_steps import MotionSettings, MotionStep
from hmgen_ros.training.motion_systems import SIZES, Size
from hmgen_ros.training.motion_validation import some_rows
from hmgen_ros.training.motion_windows import WindowSettings
from hmgen_ros.training.run_log import RunFolder
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.speech_card import ship
from hmgen_ros.training.speech_steps import (
    LikelihoodStep,
    SpeechAdversarialStep,
    SpeechEnergyStep,
    SyncLoss,
    syncer_of,
)
from hmgen_ros.training.speech_systems import SPEECH_SYSTEMS, SpeechSystemName
from hmgen_ros.training.speech_validation import SpeechValidation
from hmgen_ros.training.speech_windows import SpeechWindows
from hmgen_ros.training.suhmo_discriminators import MotionJudge, MotionJudgeConfig
from hmgen_ros.training.train_suhmo import describe
from hmgen_ros.types.sound import KINDS, Kind

#: Beside the loop's own: where things lie does not change a run's numbers.
_PLACES = ("data", "out", "models", "ship")
#: Settings that size or system fill in.
_FILLED = (
    "sync_weight",
    "look_ahead",
    "steps",
    "hidden",
    "batch",
    "generator_rate",
    "discriminator_rate",
)
#: Windows that units and main directions are measured on.
_MEASURED = 4000
#: Length of the windows that are measured on held-out tracks, the same for all systems.
_HELD_OUT_TICKS = 73
#: Hidden size of the LSTM and width of the branches in the thesis and its public code.
_THESIS_HIDDEN, _THESIS_WIDTH, _THESIS_CHANNELS = 256, 272, 512


@dataclass(frozen=True, kw_only=True)
class MsSyncTrainConfig(LoopConfig):
    """Settings of one run; None takes what the size or the system is defined with.

    Attributes:
        data: folder of tracks with sound; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the run folders, each named ``<system>-<size>-s<seed>``.
        system: which system, see ``hmgen_ros/training/speech_systems.py``.
        size: "small" for some minutes on one core, or "thesis".
        features: which audio features; those of the syncer that it is trained with.
        syncer: shipped pyramid, trained by InfoNCE, that the generator is to agree with.
        metric_syncer: shipped pyramid, trained by the triplet loss, that measures the curves.
        sync_weight: of the synchrony loss; lambda of (5.14), 8 in the thesis.
        look_ahead: ticks of 40 ms of sound that the generator waits for.
        steps: ticks that the generator learns to go on.
        hidden: size of the generator's LSTM.
        batch: heads an iteration and process, even.
        generator_rate: Adam's learning rate of the generator.
        discriminator_rate: Adam's learning rate of the discriminators.
        betas: Adam's, of both; the thesis has 0 and 0.999.
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
        decay_from: iteration from which the rates are a tenth; None keeps them.
        decay_over: from there on the rates fall to nothing within so many iterations, along half a cosine,
            instead of at once to a tenth.
        averaging: the generator that is measured and kept is the exponential average of the weights, which
            keeps this part at each iteration (0.995, say); 0 takes the present ones.
        far_frames: probability that a head's frame is made from another pose of its track than the first.
        mirror: probability of a mirrored head.
        stretch: faces are wider or narrower by a factor of up to ``1 + stretch``.
        speeds: each piece is also learned from spoken at these speeds, which makes other voices of it.
        temperature: what the noise of ours is multiplied by in use; 1 takes it as learned.
        validation_windows: held-out windows that each evaluation generates futures for.
        ship: write the best model to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    iterations: int = 2000
    data: Path | None = None
    out: Path = Path("out/ms_sync")
    system: SpeechSystemName = "speech_driven"
    size: Size = "small"
    features: Kind = "logmel"
    syncer: str = "syncer"
    metric_syncer: str = "metric_syncer"
    sync_weight: float | None = None
    look_ahead: int | None = None
    steps: int | None = None
    hidden: int | None = None
    batch: int | None = None
    generator_rate: float | None = None
    discriminator_rate: float | None = None
    betas: tuple[float, float] = (0.0, 0.999)
    clip_norm: float = 1.0
    decay_from: int | None = None
    decay_over: int | None = None
    averaging: float = 0.0
    far_frames: float = 0.3
    mirror: float = 0.5
    stretch: float = 0.08
    speeds: tuple[float, ...] = (0.85, 1.15)
    temperature: float = 1.0
    validation_windows: int = 200
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("system", SPEECH_SYSTEMS), ("size", SIZES), ("features", KINDS)):
            if getattr(self, name) not in known:
                raise ValueError(f"no {name} {getattr(self, name)!r}; one of: {', '.join(known)}")
        for name in ("steps", "hidden", "batch", "validation_windows", "decay_over"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.filled("batch") % 2:
            raise ValueError(f"batch must be even, heads come in pairs; got {self.filled('batch')}")
        for name in ("generator_rate", "discriminator_rate"):
            if not self.filled(name) > 0.0:
                raise ValueError(f"{name} must be above 0, got {self.filled(name)}")
        if self.filled("sync_weight") < 0.0 or self.clip_norm < 0.0:
            raise ValueError(
                f"sync_weight and clip_norm must be at least 0, got {self.sync_weight}, {self.clip_norm}"
            )
        if not 0.0 <= self.averaging < 1.0 or not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"averaging and betas must lie in [0, 1), got {self.averaging}, {self.betas}")
        if not all(0.5 <= speed <= 2.0 for speed in self.speeds):
            raise ValueError(f"speeds must lie in [0.5, 2], got {self.speeds}")
        if self.decay_from is not None and self.decay_from < 0:
            raise ValueError(f"decay_from must be at least 0, got {self.decay_from}")
        check_ship(self.ship)
        self.generator()
        self.windows()

    def filled(self, name: str) -> Any:
        """A setting, or what the system or the size says."""
        value, system = getattr(self, name), SPEECH_SYSTEMS[self.system]
        if value is not None:
            return value
        if name == "hidden" and self.size == "thesis":
            return _THESIS_HIDDEN
        return getattr(system if hasattr(system, name) else system.sizes(self.size), name)

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        return RunFolder(self.out / f"{self.system}-{self.size}-s{self.seed}")

    def generator(self) -> MsSyncConfig:
        """The sizes of the generator."""
        given = {**SPEECH_SYSTEMS[self.system].generator}
        if self.size == "thesis":
            given |= {"width": _THESIS_WIDTH, "channels": _THESIS_CHANNELS}
        return MsSyncConfig(
            features=self.features,
            look_ahead=self.filled("look_ahead"),
            hidden=self.filled("hidden"),
            temperature=self.temperature,
            **given,
        )

    def windows(self) -> WindowSettings:
        """How windows are cut and varied."""
        return WindowSettings(
            far_frames=self.far_frames, mirror=self.mirror, stretch=self.stretch, by_duration=True
        )

    def settings(self) -> MotionSettings:
        """The settings of one iteration."""
        names = ("steps", "batch", "generator_rate", "discriminator_rate")
        plain = ("seed", "betas", "clip_norm", "decay_from", "decay_over", "averaging")
        given = {name: self.filled(name) for name in names} | {name: getattr(self, name) for name in plain}
        return MotionSettings(**given, seeds=SPEECH_SYSTEMS[self.system].seeds)


def train(config: MsSyncTrainConfig, console: Console | None = None) -> Path:
    """Train one system, or go on with its run; returns the run folder.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        hmgen_ros.training.run_log.RunError: the run folder holds a run with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a syncer is missing or hears other features, or a file of
            the run is damaged.
        ValueError: no track with sound is long enough.
    """
    fabric = config.launch()
    console = console_of(fabric, console)
    finished, corpus = _run(config, fabric, console)
    shipment = Shipment.asked(config, fabric, command_line("ms-sync", config))
    if finished and shipment:
        console.print(f"wrote {ship(shipment, SPEECH_SYSTEMS[config.system], corpus)}", highlight=False)
    return config.folder.path


def _run(config: MsSyncTrainConfig, fabric: Fabric, console: Console) -> tuple[bool, Corpus]:
    """Whether the run has come to its end, and what it was trained on."""
    folder, system = config.folder, SPEECH_SYSTEMS[config.system]
    settings = _settings(config)
    if fabric.is_global_zero:
        folder.check(settings, config.force)
    training, corpus = speech_of(config, "train")
    fabric.barrier()
    if not config.force and folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True, corpus
    held_out, unseen = speech_of(config, "validation")
    console.print(f"[bold]{config.system}[/]: {system.text}", highlight=False)
    for name, part in (("training", corpus), ("validation", unseen)):
        console.print(describe(name, part), highlight=False)
    step = make_step(config, training, held_out)
    if fabric.is_global_zero:
        folder.prepare(settings, {name: getattr(config, name) for name in OPTIONS}, config.force)
    fabric.barrier()
    return Loop(fabric, step, config, folder, console, metric=system.metric).run(), corpus


def speech_of(config: MsSyncTrainConfig, split: str) -> tuple[list[SpeechSegment], Corpus]:
    """The pieces of tracks of one part that have sound; raises CorpusError as :func:`train` does."""
    return speech_part(config.data, split)


def make_step(
    config: MsSyncTrainConfig, training: list[SpeechSegment], held_out: list[SpeechSegment]
) -> MotionStep:
    """The iteration of a system: generator and discriminators, units measured, windows laid out."""
    system, settings = SPEECH_SYSTEMS[config.system], config.settings()
    ahead, kind = config.filled("look_ahead"), config.features
    told = [at_speed(piece, speed) for speed in (1.0, *config.speeds) for piece in training]
    windows = SpeechWindows(told, settings.seeds + settings.steps, kind, config.windows(), ahead)
    unseen = SpeechWindows(held_out, _HELD_OUT_TICKS, kind, ahead=ahead)
    validation = SpeechValidation(
        SpeechWindows(training, _HELD_OUT_TICKS, kind),
        unseen,
        config.validation_windows,
        syncer_of(config.metric_syncer, kind),
    )
    seed_iteration(config.seed, 0, 0)
    model = MsSync(config.generator())
    rows = some_rows(windows, _MEASURED)
    poses, reference = windows.draw(rows)
    model.fit_units(poses, reference)
    model.fit_sound(windows.heard(rows))
    anywhere, home = windows.draw(rows, anywhere=True)
    model.plausible.fit(anywhere.flatten(0, 1), home.repeat_interleave(anywhere.shape[1], dim=0))
    if system.objective == "likelihood":
        return LikelihoodStep(model, windows, settings, validation)
    sync = SyncLoss(syncer_of(config.syncer, kind), config.filled("sync_weight"), system.sync_levels)
    if system.objective == "energy":
        score = EnergyScore(settings.steps)
        score.fit(poses)
        shorter = SpeechWindows(held_out, settings.steps + 1, kind, ahead=ahead)
        chosen = some_rows(shorter, config.validation_windows)
        unseen_too = shorter.cut(chosen), shorter.heard(chosen)
        return SpeechEnergyStep(model, score, sync, windows, unseen_too, settings, validation)
    sizes = system.sizes(config.size)
    judge = MotionJudge(
        MotionJudgeConfig(hidden=sizes.judge_hidden, windows=sizes.judge_windows, **system.judge)
    )
    judge.fit_units(poses)
    return SpeechAdversarialStep(model, judge, sync, windows, settings, validation)


def _settings(config: MsSyncTrainConfig) -> dict[str, Any]:
    """What decides the numbers of the run, with what size and system fill in."""
    given = {name: value for name, value in asdict(config).items() if name not in (*OPTIONS, *_PLACES)}
    return {**given, **{name: config.filled(name) for name in _FILLED}}
