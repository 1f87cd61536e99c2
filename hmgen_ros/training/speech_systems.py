"""Every system of the thesis' chapter 5 by name, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hmgen_ros.training.motion_systems import MotionSystem

SpeechSystemName = Literal[
    "ms_sync_short",
    "ms_sync_long",
    "speech_driven",
    "causal",
    "single_scale",
    "single_scale_generator",
    "no_sync_loss",
    "likelihood",
]
#: Ticks that a generator may wait for sound: in all with the sound of the tick itself and what features look
#: ahead, motion comes 168 ms after its sound, or 88 ms.
_DEFAULT_AHEAD, _CAUSAL_AHEAD = 3, 1
#: Lambda of (5.14) in the thesis, where the loss is a mean over four levels; and what gives the only level
#: that counts the weight that it has among four.
_LAMBDA, _ONE_LEVEL = 8.0, 2.0


@dataclass(frozen=True)
class SpeechSystem(MotionSystem):
    """What one system is made of, beside what :class:`MotionSystem` has.

    Attributes:
        steps: ticks that the generator learns to go on.
        look_ahead: ticks of sound that it waits for.
        sync_weight: of the synchrony loss; lambda of (5.14).
        sync_levels: how many of the finest levels it counts.
    """

    steps: int = 40
    look_ahead: int = _DEFAULT_AHEAD
    sync_weight: float = _LAMBDA
    sync_levels: int = 4


def _thesis(text: str, steps: int) -> SpeechSystem:
    return SpeechSystem(text, generator={"noise": False}, judge={"network": "rnn"}, seeds=1, steps=steps)


def _ours(text: str, **changes: object) -> SpeechSystem:
    settings = {"steps": 60, **changes}
    return SpeechSystem(
        text,
        objective="energy",
        seeds=5,
        small={"generator_rate": 1e-3},
        **settings,  # type: ignore[arg-type]
    )


SPEECH_SYSTEMS: Mapping[str, SpeechSystem] = {
    "ms_sync_short": _thesis("MS-Sync-short: trained on 40 ticks", 40),
    "ms_sync_long": _thesis("MS-Sync-long: trained on 72 ticks, as many as the clips have", 72),
    "speech_driven": _ours("ours: MS-Sync's generator with noise, trained by energy score and synchrony"),
    "causal": _ours("ours, with one tick of sound to come instead of three", look_ahead=_CAUSAL_AHEAD),
    "single_scale": _ours(
        "ours with one time scale in generator and synchrony loss",
        generator={"multi_scale": False},
        sync_weight=_ONE_LEVEL,
        sync_levels=1,
    ),
    "single_scale_generator": _ours(
        "ours with one time scale in the generator, all in the loss", generator={"multi_scale": False}
    ),
    "no_sync_loss": _ours("ours by the energy score alone", sync_weight=0.0),
    "likelihood": SpeechSystem(
        "likelihood of single ticks: the network of ours, no score of futures, no synchrony loss",
        objective="likelihood",
        seeds=1,
        steps=60,
        sync_weight=0.0,
        small={"generator_rate": 1e-3},
    ),
}
