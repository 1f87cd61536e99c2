"""How well sound alone tells that somebody has finished: the Smart-Turn model of the wheel ``pipecat-ai``.

    PYTHONPATH=. python benchmarks/turn_ends.py [--data FOLDER] [--clips 200] [--json FILE]

The model hears up to 8 s of sound and answers with the probability that the turn is over. It is asked at
the ends of sentences (positive) and, as a control, where the same sentences are cut at their quietest
moment between 30 % and 70 % of their length, or where the speaker pauses and goes on (negative). Each time
what was said so far is followed by 0.2 s of digital silence, so that silence itself tells nothing.

Benchmark only; nothing in the package needs it. The model is BSD-2-Clause, by Daily.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from hmgen_ros.data.ami import CorpusError, data_directory
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.voice import WINDOW, VoiceModel
from hmgen_ros.resources import resource

#: The version that the printed command installs and that was tested.
INSTALL = "pip install --no-deps pipecat-ai==1.14.0"
#: Seconds that the model hears, the probability above which a turn counts as over, and its features.
HEARD_S, THRESHOLD, FFT, HOP, MELS = 8, 0.5, 400, 160, 80
#: Silence after each point, and sound kept before a speaker's first word, seconds.
QUIET_S, LEAD_S = 0.2, 0.5
#: Where in a sentence it may be cut, parts of its length.
CUT_FROM, CUT_TO = 0.3, 0.7
#: Voice detection: probabilities at which speech begins and ends.
VOICE_ON, VOICE_OFF = 0.5, 0.35
#: The trivial method takes a turn as over after so much silence, seconds.
SILENCES_S = (0.2, 0.4, 0.8, 1.2)
_CAUTION = (
    "All sound is GRID command sentences, read one at a time in a studio; the bundled scene mixes such clips "
    "of three people. Nobody hesitates or answers, and all sentences are about as long, so length alone "
    "tells most ends. This is no measurement on conversation."
)
Sound = NDArray[np.float32]


class SmartTurn:
    """The network on one thread.

    Raises:
        RuntimeError: the wheel is not installed; the text has the command.
    """

    def __init__(self) -> None:
        # Found without importing pipecat, whose own dependencies are not wanted.
        spec = find_spec("pipecat")
        folders = spec.submodule_search_locations or () if spec else ()
        files = [f for d in folders for f in Path(d).glob("audio/turn/smart_turn/data/smart-turn-*cpu.onnx")]
        if not files:
            raise RuntimeError(f"the Smart-Turn model is not installed; run: {INSTALL}")
        self.path = max(files)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(self.path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, features: NDArray[np.float32]) -> float:
        """Probability in [0, 1] that the turn is over, from ``[80, 800]`` features."""
        (answer, *_) = self._session.run(None, {self._input: features[None]})
        return float(np.ravel(answer)[0])


def log_mel(sound: Sound) -> NDArray[np.float32]:
    """Features of the last 8 s, as Whisper has them.

    Args:
        sound: ``[S]`` mono, 16 kHz; less than 8 s is preceded by zeros.

    Returns:
        ``[80, 800]`` decadic logarithms of mel energies, at most 8 below the largest, shifted to about
        -1 to 1, of the sound brought to mean 0 and variance 1.
    """
    length = HEARD_S * SAMPLE_RATE
    heard = np.pad(sound[-length:], (max(0, length - len(sound)), 0)).astype(np.float32)
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
    padded = np.pad(heard.astype(np.float64), FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP][:-1]  # [800, 400]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FFT) / FFT)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2  # [800, 201]
    level = np.log10(np.maximum(mel_filters() @ power.T, 1e-10))  # [80, 800]
    return np.asarray((np.maximum(level, level.max() - 8.0) + 4.0) / 4.0, np.float32)


@cache
def mel_filters() -> NDArray[np.float64]:
    """``[80, 201]`` triangles on Slaney's mel scale, 0 to 8 kHz, each of area 1.

    The scale is linear up to 1 kHz (15 mel) and logarithmic above, 27 mel for a factor of 6.4.
    """
    top = 15.0 + 27.0 * np.log(SAMPLE_RATE / 2 / 1000.0) / np.log(6.4)
    mels = np.linspace(0.0, top, MELS + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * 6.4 ** ((mels - 15.0) / 27.0))
    hertz = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)
    low, middle, high = (edges[i : MELS + i, None] for i in range(3))
    triangles = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return np.asarray(np.maximum(triangles, 0.0) * 2.0 / (high - low))


@dataclass(frozen=True)
class Point:
    """A moment at which the model is asked.

    Attributes:
        sound: ``[S]`` what the model hears.
        ended: whether the turn is over.
        spoken_s: how long the speaker has spoken.
        silence_s: how long nobody speaks from here on; NaN where the recording does not tell.
    """

    sound: Sound
    ended: bool
    spoken_s: float
    silence_s: float = np.nan


def read_sound(path: Path) -> Sound:
    """``[S]`` mono samples of a file, 16 kHz."""
    parts = [np.zeros(0, np.float32)]
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        for frame in container.decode(audio=0):
            parts += [f.to_ndarray()[0] for f in resampler.resample(frame)]
    return np.concatenate(parts).astype(np.float32)


def speech_span(sound: Sound, voice: VoiceModel) -> tuple[float, float] | None:
    """Seconds at which speech begins and ends; None where no voice is heard."""
    voice.reset()
    windows = sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW)
    chance = np.array([voice(window) for window in windows])
    begun = np.flatnonzero(chance >= VOICE_ON)
    heard = np.flatnonzero(chance >= VOICE_OFF)
    if not len(begun):
        return None
    return float(begun[0] * WINDOW / SAMPLE_RATE), float((heard[-1] + 1) * WINDOW / SAMPLE_RATE)


def quietest(sound: Sound, start: float, end: float) -> float:
    """Seconds of the quietest 20 ms in the middle part of a sentence, where a cut is least abrupt."""
    first, last = (round((start + part * (end - start)) * SAMPLE_RATE) for part in (CUT_FROM, CUT_TO))
    width = SAMPLE_RATE // 50
    energy = np.convolve(sound[first:last].astype(np.float64) ** 2, np.ones(width), "valid")
    return float((first + int(energy.argmin()) + width // 2) / SAMPLE_RATE)


def grid_points(paths: Iterable[Path]) -> Iterator[Point]:
    """Two points a clip of one read sentence: its end, and a cut inside it."""
    voice = VoiceModel()
    for path in paths:
        sound = read_sound(path)
        if (span := speech_span(sound, voice)) is not None:
            (start, end), cut = span, quietest(sound, *span)
            yield Point(_heard(sound, start, end), True, end - start)
            yield Point(_heard(sound, start, cut), False, cut - start)


def scene_points(sound: Sound, people: Sequence[Sequence[tuple[float, float]]]) -> list[Point]:
    """The points of a conversation, from each person's intervals of speech in seconds.

    An end at which somebody else speaks is left out: nothing falls silent there. An end after which the
    same person speaks next is a pause, not the end of a turn.
    """
    turns = sorted((start, end, who) for who, spans in enumerate(people) for start, end in spans)
    points = []
    for start, end, who in turns:
        others = [(a, b) for a, b, other in turns if other != who]
        if not any(a <= end < b for a, b in others):
            later = [(a, other) for a, _, other in turns if a > end]
            next_start, next_who = min(later, default=(len(sound) / SAMPLE_RATE, -1))
            points.append(Point(_heard(sound, start, end), next_who != who, end - start, next_start - end))
        cut = quietest(sound, start, end)
        if not any(a <= cut < b for a, b in others):
            points.append(Point(_heard(sound, start, cut), False, cut - start, 0.0))
    return points


def auc(ended: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Probability that an ended turn scores above one that goes on, ties half; NaN where one kind lacks."""
    yes, no = int(ended.sum()), int((~ended).sum())
    if not yes or not no:
        return float("nan")
    return float((rankdata(score)[ended].sum() - yes * (yes + 1) / 2) / (yes * no))


def measure(points: Sequence[Point], model: SmartTurn) -> dict[str, Any]:
    """AUC, accuracy and time of the model at ``points``, beside what length and silence alone tell.

    Raises:
        ValueError: there are no ends, or nothing but ends.
    """
    ended = np.array([point.ended for point in points], np.bool_)
    if ended.all() or not ended.any():
        raise ValueError("the sound has no ends of turns, or nothing but ends: nothing to tell apart")
    given, milliseconds = np.zeros(len(points)), np.zeros((len(points), 2))
    for i, point in enumerate(points):
        start = time.perf_counter()
        features = log_mel(point.sound)
        middle = time.perf_counter()
        given[i] = model(features)
        milliseconds[i] = 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)
    said, silence = given > THRESHOLD, np.array([point.silence_s for point in points])
    known = bool(np.isfinite(silence).all())
    return {
        "ends": int(ended.sum()),
        "inside": int((~ended).sum()),
        "AUC": auc(ended, given),
        "accuracy": float((said == ended).mean()),
        "ends found": float(said[ended].mean()),
        "false alarms": float(said[~ended].mean()),
        "AUC of length alone": auc(ended, np.array([point.spoken_s for point in points])),
        "features, ms": float(np.median(milliseconds[:, 0])),
        "model, ms": float(np.median(milliseconds[:, 1])),
        **{
            f"accuracy of {x:g} s silence": float(((silence >= x) == ended).mean())
            for x in SILENCES_S
            if known
        },
    }


def _heard(sound: Sound, start: float, end: float) -> Sound:
    """From shortly before ``start`` to ``end`` seconds, and silence."""
    said = sound[max(0, round((start - LEAD_S) * SAMPLE_RATE)) : round(end * SAMPLE_RATE)]
    return np.append(said, np.zeros(round(QUIET_S * SAMPLE_RATE), np.float32))


def _print(console: Console, results: dict[str, dict[str, Any]]) -> None:
    table = Table("", *results)
    for key in max(results.values(), key=len):
        cells = [result.get(key, "-") for result in results.values()]
        table.add_row(key, *(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells))
    console.print(table)
    console.print(_CAUTION, highlight=False, soft_wrap=True)


def main() -> None:
    """Measure and print; exits with 2 and one line where the model or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with grid_tracks/*.flac (default: HMGEN_DATA)")
    parser.add_argument("--clips", type=int, default=200, help="GRID sentences, drawn with seed 0")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    console = Console()
    try:
        results = _results(SmartTurn(), args.data, args.clips, console)
    except (RuntimeError, ValueError, OSError) as error:
        print(f"turn_ends: {error}", file=sys.stderr)
        sys.exit(2)
    _print(console, results)
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _results(model: SmartTurn, data: Path | None, clips: int, console: Console) -> dict[str, dict[str, Any]]:
    console.print(f"{model.path.name}, asked {QUIET_S:g} s after each point, threshold {THRESHOLD:g}")
    truth = json.loads(resource("recordings/three_people.json").read_text(encoding="utf-8"))
    spans = [[(a, b) for a, b in person["speaking"]] for person in truth["people"]]
    sound = read_sound(resource("recordings/three_people.mp4"))
    results = {"bundled scene": measure(scene_points(sound, spans), model)}
    try:
        paths = sorted((data_directory(data) / "grid_tracks").glob("*.flac"))
    except CorpusError:
        if data is not None:
            raise
        paths = []
    if not paths:
        console.print("no grid_tracks/*.flac found: GRID sentences are left out (give --data)")
        return results
    chosen = np.random.default_rng(0).permutation(len(paths))[:clips]
    with console.status("GRID sentences"):
        results["GRID read sentences"] = measure(list(grid_points(paths[i] for i in chosen)), model)
    return results


if __name__ == "__main__":
    main()
