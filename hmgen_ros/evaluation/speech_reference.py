"""What speech-driven generators are compared with: real faces that speak, each with its sound.

Sequences are cut out of pieces of tracks, all of one length: 80 ticks as in the thesis (5.4.3), or as many as
the longest piece has. A generator is given the first pose and the sound of a sequence.

Longer motion is compared, too, and few clips last 8 s: a *reel* is the sound of sequences of one speaker, one
after the other. It begins within a sequence, from the pose there, and ends within another one, so that the
last 40 ticks have a true counterpart, spoken to the same sound (thesis 5.4.2: the last 40 ticks count).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgen_ros.data.speech_tracks import SpeechSegment
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_metrics import Components, map_components, pose_components
from hmgen_ros.evaluation.motion_reference import LAST, Measured, last_windows, measure
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.types.sound import TICK_SAMPLES, Kind

#: Ticks of a sequence, at most, and of motion that is compared in its last ticks.
SEQUENCE, HORIZONS = 80, (40, 80, 200)
#: Fewest sequences: one alone could not hear another sentence than its own. Of fewer than the second number,
#: many reels can be made, but their distances are those of a few sentences' motion.
FEWEST_SEQUENCES, FEW = 2, 8

Ints = NDArray[np.int64]


class Reels(NamedTuple):
    """``R`` reels that last for one horizon.

    Attributes:
        ticks: of the horizon.
        starts: ``[R]`` first ticks within the first sequences; motion begins one later.
        sequences: numbers of the sequences of each, in order.
        ends: ``[R]`` last ticks within the last sequences.
    """

    ticks: int
    starts: Ints
    sequences: list[Ints]
    ends: Ints


@dataclass(frozen=True)
class SpeechReference:
    """Real sequences and what is measured of them.

    Attributes:
        faces: ``[B, T, 68, 2]`` pixels.
        sounds: ``[B, T 640]``.
        speakers: ``[B]`` numbers.
        reels: by horizon.
        measured: of the true last ticks of every horizon's reels.
        components: of motion maps and poses.
        net: the sequence network behind ``fd_motion``.
        too_short: pieces that have no sequence.
    """

    faces: Tensor
    sounds: NDArray[np.float32]
    speakers: Ints
    reels: dict[int, Reels]
    measured: dict[int, Measured]
    components: tuple[Components, Components]
    net: MotionInception
    too_short: int

    @classmethod
    def of(
        cls, speech: Sequence[SpeechSegment], most: int, reels: int, net: MotionInception, seed: int = 0
    ) -> SpeechReference:
        """Cut and measure.

        Args:
            speech: pieces of tracks with their sound.
            most: sequences at most, evenly from all.
            reels: of each horizon.
            net: the sequence network.
            seed: of the reels.

        Raises:
            ValueError: there are too few sequences of more than 40 ticks.
        """
        longest = max((len(piece.segment.landmarks) for piece in speech), default=0)
        ticks = min(SEQUENCE, longest)
        if ticks <= LAST:
            raise ValueError(
                f"tracks with sound and more than {LAST} valid ticks in a row are needed, the longest of "
                f"{len(speech)} has {longest}"
            )
        long = [piece for piece in speech if len(piece.segment.landmarks) >= ticks]
        places = [(piece, int(first)) for piece in long for first in _firsts(piece, ticks)]
        places = [places[i] for i in np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)]
        if len(places) < FEWEST_SEQUENCES:
            raise ValueError(
                f"at least {FEWEST_SEQUENCES} sequences of {ticks} ticks are needed, got {len(places)}"
            )
        faces = torch.from_numpy(np.stack([p.segment.landmarks[f : f + ticks] for p, f in places]))
        sounds = np.stack([p.sound[f * TICK_SAMPLES : (f + ticks) * TICK_SAMPLES] for p, f in places])
        names = [piece.segment.track.speaker for piece, _ in places]
        speakers = np.unique(names, return_inverse=True)[1].astype(np.int64)
        found = {h: _reels(h, ticks, speakers, reels, seed) for h in HORIZONS}
        true = {h: true_windows(faces, r) for h, r in found.items()}
        components = (map_components(true[HORIZONS[0]]), pose_components(true[HORIZONS[0]]))
        measured = {h: measure(windows, net, components) for h, windows in true.items()}
        return cls(faces, sounds, speakers, found, measured, components, net, len(speech) - len(long))

    @property
    def ticks(self) -> int:
        """Length of a sequence."""
        return self.faces.shape[1]

    def heard(self, kind: Kind, ahead: int) -> Tensor:
        """``[B, T + ahead, 4, F]`` audio features of the sequences, with silence behind them."""
        silence = np.zeros((len(self.sounds), ahead * TICK_SAMPLES), np.float32)
        whole = np.concatenate([self.sounds, silence], axis=1)
        return torch.from_numpy(np.stack([features_of(sound, kind) for sound in whole]))

    def reel_sound(self, heard: Tensor, reels: Reels) -> Tensor:
        """``[R, horizon + ahead, 4, F]`` what is heard after the starts, out of :meth:`heard`'s sequences."""
        ahead = heard.shape[1] - self.ticks
        rows = []
        for start, sequences, end in zip(reels.starts, reels.sequences, reels.ends, strict=True):
            whole = torch.cat([heard[i, : self.ticks] for i in sequences[:-1]] + [heard[sequences[-1]]])
            last = self.ticks * (len(sequences) - 1) + int(end) + 1 + ahead
            rows.append(whole[int(start) + 1 : last])
        return torch.stack(rows)

    def reel_starts(self, reels: Reels) -> Tensor:
        """``[R, 68, 2]`` poses to go on from."""
        first = [int(sequences[0]) for sequences in reels.sequences]
        return self.faces[first, torch.from_numpy(reels.starts)]

    def shuffled(self) -> Tensor:
        """``[B]`` numbers of other sequences, of the same speaker where there is one."""
        found = np.roll(np.arange(len(self.speakers)), 1)
        for speaker in np.unique(self.speakers):
            own = np.flatnonzero(self.speakers == speaker)
            if len(own) > 1:
                found[own] = np.roll(own, 1)
        return torch.from_numpy(found)


def true_windows(faces: Tensor, reels: Reels) -> Tensor:
    """``[R, 40, 68, 2]`` what the faces did in the last ticks, in the frames of their first poses."""
    rows = [
        faces[int(sequences[-1]), int(end) - LAST : int(end) + 1]
        for sequences, end in zip(reels.sequences, reels.ends, strict=True)
    ]
    whole = torch.stack(rows)
    return last_windows(whole[:, 0], whole[:, 1:])


def _firsts(piece: SpeechSegment, ticks: int) -> Ints:
    """First ticks of sequences, laid evenly over a piece, as many as come nearest to its length."""
    length = len(piece.segment.landmarks)
    count = max(1, round(length / ticks))
    return np.linspace(0, length - ticks, count).round().astype(np.int64)


def _reels(horizon: int, ticks: int, speakers: Ints, count: int, seed: int) -> Reels:
    """Reels that end anywhere in a sequence behind its 40th tick, evenly from all sequences."""
    rng = np.random.default_rng([seed, horizon])
    ends = rng.integers(LAST, ticks, count)
    last = np.linspace(0, len(speakers) - 1, count).astype(np.int64)
    # As many whole sequences before the last one as let the reel begin within the first.
    before = -(-(horizon - ends) // ticks)
    starts = ends - horizon + before * ticks
    sequences = []
    for number, others in zip(last, before, strict=True):
        own = np.flatnonzero(speakers == speakers[number])
        sequences.append(np.append(rng.choice(own, int(others)), number))
    return Reels(horizon, starts, sequences, ends)
