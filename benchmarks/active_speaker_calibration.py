"""Measures the constants of perception/active_speaker.py and perception/av_offset.py for a syncer.

    PYTHONPATH=. python benchmarks/active_speaker_calibration.py [--syncer NAME_OR_FILE] [--data FOLDER]

A grid of EVEN_COSINE, GAIN, MAX_LOG_ODDS and RIVALRY is judged by two costs (mean negative log likelihoods,
nats):

* of who is heard, in groups of faces that all speak, by validation speakers that no syncer was trained on;
* of who speaks when, in the bundled scene, for the two people who are not of the test part. There listeners
  are silent, people take turns, and landmarks come from compressed pictures.

MIN_CONFIDENCE lies between confidences of offsets where voices belong to the faces and where they do not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from active_speaker import ASKED, FORGIVEN_TICKS, offsets
from numpy.typing import NDArray
from perception_stages import load
from rich.console import Console
from rich.progress import track
from rich.table import Table
from speaker_groups import TICK_SAMPLES, Clip, Watched, draw_groups, read_clips, read_embedder, watch

from hmgen_ros.data.ami import CorpusError
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.perception.active_speaker import ActiveSpeaker, Embedder, Sighting
from hmgen_ros.perception.gesture_network import GestureNetwork
from hmgen_ros.perception.people import PersonMemory
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.speaking import speaking_probabilities, voice_owners
from hmgen_ros.perception.voice import VoiceActivity
from hmgen_ros.resources import resource
from hmgen_ros.types import TICK_HZ, TICK_NS, AudioChunk, Frame, Scene

#: Of the speakers of the validation part, the one that syncers are trained on.
TRAINED = "grid_s1"
EVEN, GAINS, MOST = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3), (0.5, 0.75, 1.0, 1.5), (3.0, 4.0, 5.0)
RIVALRIES = (0.0, 0.25, 0.5)
#: Seconds of speech after which groups are asked who is heard.
ASKED_S = (0.5, 1.0, 1.5, 2.0, 3.0)
_LEAST = 1e-4
#: EVEN_COSINE, GAIN, MAX_LOG_ODDS, RIVALRY.
Constants = tuple[float, float, float, float]


def group_cost(watched: Sequence[Watched], constants: Constants) -> float:
    """Of the owner of the voice, in groups whose first face is heard."""
    costs = []
    for one in watched:
        odds = one.lips + one.match(*constants)
        for tick in {tick for seconds in ASKED_S if (tick := one.after(seconds)) is not None}:
            costs.append(-math.log(max(_LEAST, voice_owners(odds[tick].tolist())[0])))
    return float(np.mean(costs))


def watch_scene(embedder: Embedder) -> tuple[Watched, NDArray[np.bool_]]:
    """The bundled scene, people from left to right, and ``[T, n]`` whether they speak."""
    images, sound = load(resource("recordings/three_people.mp4"), 61.0)
    truth = json.loads(resource("recordings/three_people.json").read_text(encoding="utf-8"))["people"]
    # Who speaks is decided by landmarks that are not filtered.
    config = PerceptionConfig(seed=0, workers=1, smooth_landmarks=False)
    perception, voice = Perception(config), VoiceActivity()
    lag = round(config.audio_lag_ms * 1e6)
    speaker = ActiveSpeaker(embedder, voice.probability_at, lag, config.match_memory_s)
    network = GestureNetwork()
    memories = [PersonMemory(config.latches, config.body.min_joint_score, network) for _ in truth]
    lips, evidence, heard = [], [], []
    for tick, image in enumerate(track(images, "bundled scene", transient=True)):
        samples = sound[tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES]
        for listener in (perception, voice, speaker):
            push = listener.push_audio if isinstance(listener, Perception) else listener.push
            push(AudioChunk(tick * TICK_NS, samples, SAMPLE_RATE))
        scene = perception.process(Frame(tick * TICK_NS, image), tick, reset=tick == 0)
        seen = _sightings(scene, memories)
        speaker.update(tick * TICK_NS, {str(i): one for i, one in enumerate(seen)})
        lips.append([math.log(one.lips / (1.0 - one.lips)) for one in seen])
        evidence.append([speaker.evidence(str(i)) for i in range(len(seen))])
        heard.append(scene.voice_activity)
    perception.close()
    middles = (np.arange(len(lips)) + 0.5) / TICK_HZ
    said = [np.any([(middles >= a) & (middles < b) for a, b in p["speaking"]], axis=0) for p in truth]
    return Watched(np.array(lips), np.array(evidence), np.array(heard)), np.stack(said, axis=1)


def _sightings(scene: Scene, memories: list[PersonMemory]) -> list[Sighting]:
    """Of everyone, who sit side by side and are in view but for the first images."""
    faces = sorted((p.face for p in scene.people if p.face is not None), key=lambda f: f.origin_px[0])
    if len(faces) < len(memories):
        return [Sighting(None, 0.5)] * len(memories)
    found = []
    for face, memory in zip(faces, memories, strict=True):
        odds = memory.observe(face, math.nan, 1)
        found.append(Sighting(face.landmarks_px, 1.0 / (1.0 + math.exp(-odds))))
    return found


def scene_cost(
    watched: Watched, said: NDArray[np.bool_], constants: Constants, people: Sequence[int]
) -> float:
    """Of each of these people's speaking, hearing and seeing some ticks late."""
    match, costs = watched.match(*constants), []
    for tick in range(FORGIVEN_TICKS, len(said)):
        odds = watched.lips[tick] + (0.0 if math.isnan(watched.voice[tick]) else match[tick])
        chance = speaking_probabilities(odds.tolist(), float(watched.voice[tick]))[list(people)]
        right = np.where(said[tick - FORGIVEN_TICKS, list(people)], chance, 1.0 - chance)
        costs.append(-np.log(np.maximum(right, _LEAST)).mean())
    return float(np.mean(costs))


def _print_offsets(clips: list[Clip], embedder: Embedder, console: Console) -> None:
    table = Table("speakers", "voice", *(f"{ticks / TICK_HZ:g} s" for ticks in ASKED))
    table.title = "confidence of offsets: 5 %, median, 95 %"
    for name, own in (
        ("unseen", [c for c in clips if c.speaker != TRAINED]),
        ("trained", [c for c in clips if c.speaker == TRAINED]),
    ):
        for of_others in (False, True):
            told = offsets(own, embedder, 40, 0, 0, of_others)
            cells = []
            for i in range(len(ASKED)):
                low, middle, high = np.quantile([chain[i].confidence for chain in told], [0.05, 0.5, 0.95])
                cells.append(f"{low:.2f} {middle:.2f} {high:.2f}")
            table.add_row(name, "of others" if of_others else "own", *cells)
    console.print(table)


def main() -> None:
    """Measure and print; exits with 2 and one line where the model or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of tracks (default: HMGEN_DATA)")
    parser.add_argument("--syncer", default="syncer", help="model name, or a .safetensors file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        embedder, clips = read_embedder(args.syncer), read_clips("validation", args.data)
    except (WeightsError, CorpusError, ValueError, OSError) as error:
        print(f"active_speaker_calibration: {error}", file=sys.stderr)
        sys.exit(2)
    console = Console()
    unseen = [clip for clip in clips if clip.speaker != TRAINED]
    groups = [group for size in (2, 3, 4) for group in draw_groups(unseen, size, False, 30, 0)]
    watched = [watch(g, g[0].sound, embedder) for g in track(groups, "groups", transient=True)]
    scene, said = watch_scene(embedder)
    table = Table("EVEN_COSINE", "GAIN", "MAX_LOG_ODDS", "RIVALRY", "groups", "scene")
    table.title = "costs, nats"
    for constants in [(0.0, 0.0, 0.0, 0.0), *itertools.product(EVEN, GAINS, MOST, RIVALRIES)]:
        costs = group_cost(watched, constants), scene_cost(scene, said, constants, people=(0, 1))
        table.add_row(*(f"{x:g}" for x in constants), *(f"{cost:.4f}" for cost in costs))
    console.print(table)
    _print_offsets(clips, embedder, console)


if __name__ == "__main__":
    main()
