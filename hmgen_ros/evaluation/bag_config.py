"""Settings of ``hmgen evaluate bag``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from hmgen_ros.evaluation.bag_inputs import Choice
from hmgen_ros.evaluation.bag_replay import CONSTANT_VELOCITY, ReplaySettings
from hmgen_ros.evaluation.bag_scores import BagSettings
from hmgen_ros.evaluation.bag_sound import SoundForm
from hmgen_ros.generators.group_forecaster import ACTION_PREDICTORS, DEFAULT_ACTION_PREDICTOR
from hmgen_ros.generators.head_forecaster import MOTION_PREDICTORS
from hmgen_ros.streams.audio import MAX_RATE, MIN_RATE


@dataclass(frozen=True)
class EvaluateBagConfig:
    """Settings of the evaluation.

    Attributes:
        bag: a rosbag2 folder, an .mcap or .db3 file, or a folder of bags.
        json: file for the results; none is written without it. Wall-clock times are in NAME.timing.json,
            what a later --compare needs in NAME.stretches.json.
        html: one self-contained file with tables, figures and timelines, to be opened in a browser.
        rerun: a Rerun recording (.rrd) of one bag: people, forecasts and, with --rerun-images, pictures.
            Needs rerun-sdk.
        rerun_images: keep the pictures in it, faces and all.
        compare: results (JSON) of another run, shown beside these; where both are of the same bags with
            differences and how sure these are.
        model: action predictor: group_attention, semi_markov, persistence or another of models/manifest.yaml.
        head_model: head-motion predictor of the people in view: constant_velocity, noise_driven and others.
        speaker_model: generator of the heads of people who speak, as in the head-motion node; empty: none.
        image_topic: the camera, where the bag has several (sensor_msgs Image or CompressedImage).
        audio_topic: the sound, where the bag has several (our AudioFrame, either audio_common_msgs).
        people_topic: recorded people, where the bag has several.
        source: replay the camera, or the recorded people without images; auto takes the camera first.
        stamps: go by the headers' stamps, or by when messages were received, for drivers that do not stamp.
        audio_rate: samples a second of sound that does not tell (audio_common_msgs without AudioInfo).
        audio_channels: its channels.
        truth: file like recordings/three_people.json that tells who really did what when.
        truth_start: how far the bag begins into the recording that the truth describes, s.
        horizon: how far actions are forecast, s, 0.2 to 10.
        head_horizon: how far heads are forecast, s, 0.2 to 10.
        samples: sampled futures a tick, at least 1.
        seed: of person ids and futures, at least 0.
        jobs: bags that are played at the same time, at least 1.
        device: torch device.

    Raises:
        ValueError: a setting is out of its range, or there is no such model; says which.
    """

    bag: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="BAG")]]
    json: Path | None = None
    html: Path | None = None
    rerun: Path | None = None
    rerun_images: bool = False
    compare: Path | None = None
    model: str = DEFAULT_ACTION_PREDICTOR
    head_model: str = CONSTANT_VELOCITY
    speaker_model: str = ""
    image_topic: str | None = None
    audio_topic: str | None = None
    people_topic: str | None = None
    source: Literal["auto", "images", "people"] = "auto"
    stamps: Literal["header", "received"] = "header"
    audio_rate: int | None = None
    audio_channels: int = 1
    truth: Path | None = None
    truth_start: float = 0.0
    horizon: float = 1.6
    head_horizon: float = 1.0
    samples: int = 32
    seed: int = 0
    jobs: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.model not in ACTION_PREDICTORS:
            raise ValueError(f"no action predictor {self.model!r}; there are {', '.join(ACTION_PREDICTORS)}")
        if self.head_model not in MOTION_PREDICTORS:
            raise ValueError(
                f"no head-motion predictor {self.head_model!r}; there are {', '.join(MOTION_PREDICTORS)}"
            )
        bounds: dict[str, tuple[float, float]] = {
            "horizon": (0.2, 10),
            "head_horizon": (0.2, 10),
            "samples": (1, 1024),
            "seed": (0, 2**31 - 1),
            "jobs": (1, 256),
            "audio_channels": (1, 255),
        }
        if self.audio_rate is not None:
            bounds["audio_rate"] = (MIN_RATE, MAX_RATE)
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, got {getattr(self, name)}")
        if not math.isfinite(self.truth_start):
            raise ValueError(f"truth_start must be a number, got {self.truth_start}")

    def settings(self) -> BagSettings:
        """How each bag is played and scored."""
        form = None if self.audio_rate is None else SoundForm(self.audio_rate, self.audio_channels)
        return BagSettings(
            Choice(self.image_topic, self.audio_topic, self.people_topic, self.source, self.stamps, form),
            ReplaySettings(
                self.model,
                self.head_model,
                self.speaker_model,
                self.horizon,
                self.head_horizon,
                self.samples,
                self.seed,
                self.device,
                self.rerun is not None and self.rerun_images,
            ),
            self.truth,
            self.truth_start,
        )

    def described(self) -> dict[str, Any]:
        """What else one must know to get the same numbers, for the results."""
        names = ("speaker_model", "source", "stamps", "horizon", "head_horizon", "samples", "seed")
        truth = None if self.truth is None else self.truth.name
        return {**{name: getattr(self, name) for name in names}, "truth": truth}
