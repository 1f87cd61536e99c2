"""How well any landmarks are in time with any sound: one file of each, scored by a pyramid of syncers.

Decisions, each made once and here:

* landmarks are cleaned as the tracks are that syncers are trained on (see :mod:`hmgen_ros.data.tracks`), and
  never scored across a cut or a gap;
* what is long is cut into sequences of 80 ticks (thesis 5.4.3), as many as come nearest to its length, laid
  evenly: they overlap by less than half, or leave less than half of one over. Where no piece of a file has
  80 ticks, its longest is the only sequence;
* ticks without sound are left out, and so are sequences in which hardly any voice is heard: there is nothing
  to be in time with. Both are counted;
* scores are means over sequences. A level that a sequence is too short for has none, and a reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.landmark_files import read_landmarks
from hmgen_ros.data.sound_files import cut_sound, read_sound
from hmgen_ros.data.tracks import clean
from hmgen_ros.evaluation.sync_metrics import common_offset, mean_scores, pyramid_synchrony
from hmgen_ros.generators.head_frame import head_frame, to_frame
from hmgen_ros.generators.syncer import FACE_WINDOW, SyncerPyramid
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.perception.voice import WINDOW, VoiceModel
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaError
from hmgen_ros.types import TICK_HZ, TICK_NS, Counts
from hmgen_ros.types.sound import SOUND_RATE, TICK_SAMPLES, Kind

#: Ticks of a sequence, at most.
SEQUENCE = 80
#: Voice probability from which sound is speech, and the part of a sequence that must be.
_VOICE, _SPOKEN = 0.5, 0.1
#: What is warned of: this part of all samples at full scale, and so many seconds between the ends of both
#: files.
_CLIPPED, _LONGER_S = 0.001, 0.2
#: Ticks between face and sound that are warned of where they stand out so clearly, see :func:`common_offset`:
#: of single clips of 3 s, shifted by 5 ticks, of speakers that the syncer knows how to read, this finds 9 of
#: 10, and calls none in time shifted; of a voice that belongs to another face it does so of 1 to 3 of 10.
_APART, _CLEAR = 3, 3.0
#: Beyond this a sample counts as one at full scale: resampling moves what was clipped.
_FULL_SCALE = 0.999

Floats = NDArray[np.float32]


class _Sequences(NamedTuple):
    """``[B, T, 68, 2]`` landmarks, ``[B, T, 4, F]`` audio features, and their ``[B]`` first ticks."""

    faces: Tensor
    heard: Tensor
    firsts: NDArray[np.int64]


class _Sound:
    """The sound of a file on its own clock.

    Attributes:
        begin_s, end_s: when it begins and ends, seconds.
        heard: see :func:`hmgen_ros.data.sound_files.cut_sound`.
    """

    def __init__(self, path: Path, counts: Counts) -> None:
        """Read it; raises CorpusError where there is none."""
        try:
            self.heard = read_sound(path, counts)
        except MediaError as error:
            raise CorpusError(f"cannot read the sound: {error}") from error
        begin_ns, samples = self.heard
        if not len(samples):
            raise CorpusError(f"{path}: holds no sound that can be decoded")
        self.begin_s = begin_ns / NS_PER_S
        self.end_s = self.begin_s + len(samples) / SOUND_RATE

    def ticks(self, most: int) -> range:
        """Ticks from 0 up to ``most`` in which there is sound, the first one from its beginning on."""
        # A beginning half a tick late is nothing to lose a tick for.
        first = max(0, round(self.begin_s * TICK_HZ))
        return range(first, max(first, min(most, int(np.ceil(self.end_s * TICK_HZ)))))

    @property
    def clipped(self) -> float:
        """Part of the samples at full scale."""
        return float((np.abs(self.heard[1]) >= _FULL_SCALE).mean())


def score_file(landmarks: Path, audio: Path, syncer: SyncerPyramid) -> dict[str, Any]:
    """Score one file of landmarks against one of sound.

    Args:
        landmarks: what :func:`hmgen_ros.data.landmark_files.read_landmarks` reads; its first tick is at the
            sound's time 0.
        audio: any file that FFmpeg reads, of any rate and number of channels; of a video it is the sound.
        syncer: in evaluation mode.

    Returns:
        What :func:`hmgen_ros.evaluation.sync_metrics.mean_scores` says of every level (an offset is positive
        where the face comes after its sound), ``sequences`` and ``ticks`` (how many, and of what length),
        ``seconds`` that were compared, ``clipped`` (part of the samples at full scale), ``counts`` of what
        was mended, cut and left out, and ``warnings``.

    Raises:
        CorpusError: a file is missing, damaged, or nothing in it can be compared; names the file.
    """
    counts = Counts()
    sound = _Sound(audio, counts)
    faces, valid = read_landmarks(landmarks, counts)
    both = sound.ticks(len(faces))
    counts.add("without_sound", len(faces) - len(both))
    if len(both) < FACE_WINDOW:
        raise CorpusError(
            f"{audio} lasts from {sound.begin_s:.2f} to {sound.end_s:.2f} s, {landmarks} from 0 to "
            f"{len(faces) / TICK_HZ:.2f} s: both have less than {FACE_WINDOW} ticks in common; do they "
            "belong together?"
        )
    pieces = clean(faces[both.start : both.stop], valid[both.start : both.stop], counts)
    longest = max((len(piece) for _, piece in pieces), default=0)
    if longest < FACE_WINDOW:
        raise CorpusError(
            f"{landmarks}: no piece without gap or cut has {FACE_WINDOW} ticks, the longest has {longest}"
        )
    pieces = [(both.start + start, piece) for start, piece in pieces]
    found = _sequences(pieces, min(SEQUENCE, longest), sound, syncer, counts)
    if not len(found.firsts):
        raise CorpusError(f"{audio}: no speech is heard while there is a face; there is nothing to compare")
    return _scored(found, syncer, len(faces), sound, counts)


def _sequences(
    pieces: list[tuple[int, Floats]], ticks: int, sound: _Sound, syncer: SyncerPyramid, counts: Counts
) -> _Sequences:
    """Sequences of ``ticks`` ticks with speech, out of pieces of at least so many ticks."""
    faces, heard, firsts = [], [], []
    kind = cast(Kind, syncer.config.features)  # features_of checks it
    for start, piece in pieces:
        if len(piece) < ticks:
            counts.add("too_short", len(piece))
            continue
        features = features_of(cut_sound(sound.heard, start * TICK_NS, len(piece)), kind)
        count = max(1, round(len(piece) / ticks))
        for first in np.linspace(0, len(piece) - ticks, count).round().astype(int):
            faces.append(piece[first : first + ticks])
            heard.append(features[first : first + ticks])
            firsts.append(start + first)
    spoken = _spoken(firsts, ticks, sound)
    counts.add("sequences_without_speech", int((~spoken).sum()))
    return _Sequences(
        torch.from_numpy(np.stack(faces)[spoken]),
        torch.from_numpy(np.stack(heard)[spoken]),
        np.array(firsts, np.int64)[spoken],
    )


def _spoken(firsts: list[int], ticks: int, sound: _Sound) -> NDArray[np.bool_]:
    """``[B]`` whether there is speech in the sequences that begin at some ticks."""
    model = VoiceModel()
    whole = cut_sound(sound.heard, 0, max(firsts) + ticks)
    voice = np.array([model(whole[i : i + WINDOW]) for i in range(0, len(whole) - WINDOW + 1, WINDOW)])
    ends = [tuple(tick * TICK_SAMPLES // WINDOW for tick in (first, first + ticks)) for first in firsts]
    return np.array([(voice[low:high] >= _VOICE).mean() >= _SPOKEN for low, high in ends], np.bool_)


def _scored(
    found: _Sequences, syncer: SyncerPyramid, all_ticks: int, sound: _Sound, counts: Counts
) -> dict[str, Any]:
    count, ticks = found.faces.shape[:2]
    poses = to_frame(found.faces, head_frame(found.faces[:, :1])).flatten(-2)
    levels = pyramid_synchrony(syncer, poses, found.heard)
    compared = np.unique(found.firsts[:, None] + np.arange(ticks))
    warnings = _warnings(all_ticks, sound, counts)
    offset, clarity = common_offset(levels[0])
    if abs(offset) >= _APART and clarity >= _CLEAR:
        late, early = ("face", "sound") if offset > 0 else ("sound", "face")
        warnings.append(
            f"the {late} seems to come {abs(offset)} ticks ({abs(offset) / TICK_HZ:.2f} s) after the "
            f"{early}; if so, shift one of them before anything else is compared"
        )
    return {
        **mean_scores(levels, ticks),
        "sequences": count,
        "ticks": ticks,
        "seconds": len(compared) / TICK_HZ,
        "clipped": sound.clipped,
        "counts": dict(counts.items()),
        "warnings": warnings,
    }


def _warnings(all_ticks: int, sound: _Sound, counts: Counts) -> list[str]:
    found = []
    ends = all_ticks / TICK_HZ
    if abs(ends - sound.end_s) > _LONGER_S or sound.begin_s > _LONGER_S:
        found.append(
            f"landmarks last {ends:.2f} s at {TICK_HZ} Hz, the sound lasts from {sound.begin_s:.2f} to "
            f"{sound.end_s:.2f} s; landmarks of another rate must be resampled"
        )
    if sound.clipped > _CLIPPED:
        found.append(f"{sound.clipped:.2%} of the sound is clipped; features of clipped speech are others")
    if silent := counts["sequences_without_speech"]:
        found.append(f"hardly any speech in {silent} sequences, which were left out")
    return found
