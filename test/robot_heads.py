"""A robot's head with small untrained generators, what it says, and how that is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from perception_scene import RATE, sound
from synthetic_heads import framed, moving_heads

from hmgen_ros.generators.free_head import FreeHead
from hmgen_ros.generators.ms_sync import MsSync, MsSyncConfig
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig
from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS, solve_head_pose
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.own_speech import VOICE
from hmgen_ros.perception.speech_queue import SpeechQueue
from hmgen_ros.robot_head.speaking_head import SpeakingHead
from hmgen_ros.types import TICK_NS, HeadMotion

#: The first tick of a test's time.
START_NS = 100 * TICK_NS
#: One piece of sound: stamp, samples, and when it is sent.
Piece = tuple[int, NDArray[Any], int]


def utterance(seconds: float = 3.2) -> NDArray[np.float32]:
    """Sound in which a voice begins after some 0.4 s and ends after 3 s; 16 kHz, mono."""
    first = int(2.4 * RATE)
    return sound(12)[first : first + int(seconds * RATE)].copy()


@cache
def free_model() -> NoiseDriven:
    """Untrained, with the units of heads that sway, and a mean face that looks like one."""
    torch.manual_seed(0)
    return _fitted(NoiseDriven(NoiseDrivenConfig(hidden=16, intent=4, directions=8)))


@cache
def speech_model(look_ahead: int = 3, **changes: Any) -> MsSync:
    """Likewise; what it hears moves it."""
    torch.manual_seed(1)
    sizes = {"hidden": 16, "intent": 4, "directions": 8, "channels": 6, "width": 12}
    made = MsSync(MsSyncConfig(**{**sizes, "look_ahead": look_ahead, **changes}))
    made.fit_sound(10.0 * torch.randn(1000, 26) - 40.0)
    return _fitted(made)


def _fitted(made: Any) -> Any:
    poses = framed(moving_heads(24, 30, seed=9))
    made.fit_units(poses, poses[:, 0])
    face = torch.randn(68, 2, generator=torch.Generator().manual_seed(1))
    model_points = torch.from_numpy(HEAD_MODEL[:, :2]).float()
    face[list(RIGID_POINTS)] = 2.0 * (model_points - model_points.mean(0))
    face -= face.mean(0)
    made.mean.copy_((face / face.square().sum(-1).mean().sqrt()).flatten())
    # Velocities fade and are drawn back to rest, and the noise is that of everyday: nothing runs away.
    still, none = torch.eye(136), torch.zeros(136, 136)
    made.linear.weight.data.copy_(torch.cat([0.8 * still, none, -0.05 * still], dim=1))
    made.drawn.weight.data.mul_(0.1)
    made.drawn.bias.data.copy_(torch.tensor([0.0, -2.0]).repeat_interleave(136))
    made.plausible.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(30, dim=0))
    return made.eval()


def speaking_head(
    look_ahead: int = 3, seed: int = 0, horizon_s: float = 0.4, voice: LatchConfig = VOICE
) -> SpeakingHead:
    """With both."""
    head = FreeHead(free_model(), solve_head_pose, horizon_s=horizon_s, seed=seed)
    return SpeakingHead(head, speech_model(look_ahead), voice)


def cut(samples: NDArray[Any], sizes: Sequence[int]) -> list[tuple[int, NDArray[Any]]]:
    """Pieces of these sizes, again and again, with the number of the first sample of each."""
    pieces, at = [], 0
    while at < len(samples):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append((at, samples[at : at + size]))
        at += size
    return pieces


def at_once(samples: NDArray[Any], sizes: Sequence[int], begin_ns: int, rate: int = RATE) -> list[Piece]:
    """All of it when it begins to be played, each piece with its own stamp."""
    return [(begin_ns + at * 1_000_000_000 // rate, part, begin_ns) for at, part in cut(samples, sizes)]


def as_played(samples: NDArray[Any], sizes: Sequence[int], begin_ns: int, rate: int = RATE) -> list[Piece]:
    """Each piece when it has been played."""
    pieces = []
    for at, part in cut(samples, sizes):
        stamp = begin_ns + at * 1_000_000_000 // rate
        pieces.append((stamp, part, stamp + len(part) * 1_000_000_000 // rate))
    return pieces


def send(queue: SpeechQueue, pieces: list[Piece], until_ns: int, rate: int = RATE, channels: int = 1) -> None:
    """Send the pieces that are sent until then, and take them from the list."""
    while pieces and pieces[0][2] <= until_ns:
        stamp, part, now = pieces.pop(0)
        queue.accept(stamp, part.reshape(-1), rate, channels, now)


def moved(
    head: SpeakingHead,
    pieces: list[Piece],
    ticks: int,
    each: Callable[[HeadMotion], None] = lambda motion: None,
    rate: int = RATE,
    channels: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What a head does: ``[T, 68, 2]`` the next tick of each trajectory, and ``[T]`` whether it spoke."""
    left, found, spoke = list(pieces), [], []
    for tick in range(ticks):
        now = START_NS + tick * TICK_NS
        send(head.sound.queue, left, now, rate, channels)
        motion = head.tick(now, "robot")
        each(motion)
        found.append(motion.landmarks_px[0])
        spoke.append(head.speaking)
    return np.stack(found), np.array(spoke)
