"""Who in view is heard: lip motion alone, faces held against the voice by the syncer, and both.

    PYTHONPATH=. python benchmarks/active_speaker.py [--parts validation test] [--json FILE]

Groups of two to four faces, each with two GRID sentences in which the face speaks, and the sound of one of
them: lips move in all of them. Times count the speech that was heard. Beside that: the bundled scene, where
people take turns; sound that is stamped 200 ms late or early; and what it costs.

There are few speakers: those of the test part are two, and one of them has a single clip.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from perception_stages import load, speaking
from rich.console import Console
from rich.progress import track
from rich.table import Table
from speaker_groups import (
    TICK_SAMPLES,
    TICKS,
    Clip,
    Watched,
    average_precision,
    chosen,
    draw_groups,
    lip_odds,
    read_clips,
    read_embedder,
    watch,
)

from hmgen_ros.data.ami import CorpusError
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.perception_metrics import average_precision as scene_precision
from hmgen_ros.evaluation.perception_metrics import f1
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.perception.active_speaker import ActiveSpeaker, Embedder, Sighting
from hmgen_ros.perception.av_offset import TOLERATED
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.speaking import voice_owners
from hmgen_ros.perception.voice import VoiceActivity
from hmgen_ros.resources import resource
from hmgen_ros.types import TICK_HZ, TICK_NS, AudioChunk, Frame

SIZES, METHODS = (2, 3, 4), ("lips", "syncer", "both")
#: Seconds of speech heard; between the sentences there is a pause of about a second.
AFTER_S = (0.5, 1.0, 2.0, 3.0)
#: Sound stamped later than it was, ms, and ticks of speech after which offsets are asked for.
SHIFTS_MS, ASKED = (0, 200, -200), (4 * TICK_HZ, 6 * TICK_HZ, 12 * TICK_HZ)
#: Clips that follow each other in one chain.
CHAIN = 9
FORGIVEN_TICKS = 4
#: As perception has it.
LAG_NS = round(PerceptionConfig.audio_lag_ms * 1e6)


def who_is_heard(watched: Sequence[Watched], seconds: float) -> dict[str, Any]:
    """AP over all faces and accuracy over groups, by method, after so much speech."""
    asked = [(one, tick) for one in watched if (tick := one.after(seconds)) is not None]
    found: dict[str, Any] = {"speech_s": seconds, "asked": len(asked)}
    for name in METHODS if asked else ():
        scores, truth, right = [], [], []
        for one, tick in asked:
            odds = {"lips": one.lips, "syncer": one.match(), "both": one.lips + one.match()}[name][tick]
            scores.append(voice_owners(odds.tolist()))
            truth.append(np.arange(len(odds)) == 0)
            right.append(chosen(odds))
        found[name] = {
            "accuracy": float(np.mean(right)),
            "AP": average_precision(np.concatenate(truth), np.concatenate(scores)),
        }
    return found


def measure_groups(clips: list[Clip], embedder: Embedder, count: int, seed: int) -> list[dict[str, Any]]:
    """Every kind and size of group that there are clips for."""
    found = []
    for mixed in (False, True):
        for size in SIZES:
            groups = draw_groups(clips, size, mixed, count, seed)
            label = f"{size} faces, {'several speakers' if mixed else 'one speaker'}"
            watched = [watch(g, g[0].sound, embedder) for g in track(groups, label, transient=True)]
            results = [who_is_heard(watched, seconds) for seconds in AFTER_S]
            heard = Counter(group[0].speaker for group in groups)
            found.append({"faces": size, "mixed": mixed, "heard": dict(heard), "results": results})
    return found


def measure_scene(embedder: Embedder) -> dict[str, dict[str, float]]:
    """F1 and AP of who speaks when in the bundled recording, by the whole of perception."""
    images, sound = load(resource("recordings/three_people.mp4"), 61.0)
    found = {}
    for name, given in (("lips", None), ("both", embedder)):
        perception, scenes = Perception(PerceptionConfig(seed=0, workers=1), given), []
        for tick, image in enumerate(track(images, f"bundled scene, {name}", transient=True)):
            samples = sound[tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES]
            perception.push_audio(AudioChunk(tick * TICK_NS, samples, SAMPLE_RATE))
            scenes.append(perception.process(Frame(tick * TICK_NS, image), tick, reset=tick == 0))
        perception.close()
        said, decided, chance = speaking(scenes, resource("recordings/three_people.mp4"))
        said, late = said[:, :-FORGIVEN_TICKS], decided[:, FORGIVEN_TICKS:]
        found[name] = {"F1": f1(said, late), "AP": scene_precision(said, chance[:, FORGIVEN_TICKS:])}
    return found


def measure_offsets(clips: list[Clip], embedder: Embedder, chains: int, seed: int) -> list[dict[str, Any]]:
    """How often an offset is told, and rightly, by shift of the sound and speech heard so far."""
    found = []
    for shift, of_others in (*((shift, False) for shift in SHIFTS_MS), (0, True)):
        told = offsets(clips, embedder, chains, seed, shift, of_others)
        for i, ticks in enumerate(ASKED):
            values = np.array([chain[i].milliseconds for chain in told])
            known = values[np.isfinite(values)]
            found.append(
                {
                    "late_ms": shift,
                    "voice_in_view": not of_others,
                    "speech_s": ticks / TICK_HZ,
                    "told": len(known) / chains,
                    "right": float((np.abs(known + shift) <= 40).sum()) / chains,
                    "reported": float((np.abs(known) > 40 * TOLERATED).sum()) / chains,
                }
            )
    return found


class Told(NamedTuple):
    """What is said of the offset of sound at some time: ms or NaN, and how sure it is."""

    milliseconds: float
    confidence: float


def offsets(
    clips: list[Clip], embedder: Embedder, chains: int, seed: int, late_ms: int, of_others: bool
) -> list[list[Told]]:
    """What is told in chains of clips, after each of ``ASKED`` ticks of speech.

    Clips follow each other without a pause, each another person to perception.

    Args:
        clips: to draw from.
        embedder: of the syncer.
        chains: how many.
        seed: of the draws.
        late_ms: sound is stamped later than it was.
        of_others: the sound is that of other clips: the voice belongs to nobody in view.
    """
    rng = np.random.default_rng(seed)
    found = []
    label = f"offsets, sound {late_ms} ms late{', of others' if of_others else ''}"
    for _ in track(range(chains), label, transient=True):
        order = rng.permutation(len(clips))[:CHAIN]
        heard = np.roll(order, 1) if of_others else order
        sound = np.concatenate([clips[i].sound for i in heard])
        found.append(_chain([clips[i] for i in order], sound, late_ms, embedder))
    return found


def _chain(clips: Sequence[Clip], sound: NDArray[np.float32], late_ms: int, embedder: Embedder) -> list[Told]:
    voice = VoiceActivity()
    speaker = ActiveSpeaker(embedder, voice.probability_at, LAG_NS)
    moving = np.concatenate([1.0 / (1.0 + np.exp(-lip_odds(clip.landmarks))) for clip in clips])
    poses = np.concatenate([clip.landmarks for clip in clips])
    heard, found = 0.0, [Told(float("nan"), 0.0)] * len(ASKED)
    for tick in range(len(poses)):
        samples = sound[tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES]
        chunk = AudioChunk(tick * TICK_NS + late_ms * 1_000_000, samples, SAMPLE_RATE)
        voice.push(chunk)
        speaker.push(chunk)
        speaker.update(tick * TICK_NS, {str(tick // TICKS): Sighting(poses[tick], float(moving[tick]))})
        heard += float(np.nan_to_num(voice.probability_at(tick * TICK_NS)))
        for i, ticks in enumerate(ASKED):
            if heard < ticks:
                found[i] = Told(speaker.offset.milliseconds, speaker.offset.confidence)
    return found


def measure_cost(clips: list[Clip], embedder: Embedder, people: int, ticks: int = 1000) -> float:
    """CPU milliseconds of one tick, sound included, voice detection not."""
    speaker = ActiveSpeaker(embedder, lambda _: 1.0, LAG_NS)
    speaker.warm_up(people)
    begin = 0.0
    for tick in range(-50, ticks):  # the first ones are not measured
        begin = time.process_time() if tick == 0 else begin
        clip, stamp = clips[tick // TICKS % len(clips)], (tick + 50) * TICK_NS
        samples = clip.sound[tick % TICKS * TICK_SAMPLES :][:TICK_SAMPLES]
        speaker.push(AudioChunk(stamp, samples, SAMPLE_RATE))
        seen = {str(i): Sighting(clips[i % len(clips)].landmarks[tick % TICKS], 1.0) for i in range(people)}
        speaker.update(stamp, seen)
        for name in seen:
            speaker.log_odds(name)
    return 1e3 * (time.process_time() - begin) / ticks


def measure_part(clips: list[Clip], embedder: Embedder, args: argparse.Namespace) -> dict[str, Any]:
    """Groups and offsets of one part of the tracks."""
    return {
        "clips": dict(sorted(Counter(clip.speaker for clip in clips).items())),
        "groups": measure_groups(clips, embedder, args.groups, args.seed),
        "offsets": measure_offsets(clips, embedder, args.chains, args.seed),
    }


def _print(console: Console, results: dict[str, Any]) -> None:
    for part, measured in results["parts"].items():
        _print_part(console, part, measured)
    for name, found in results["scene"].items():
        console.print(f"bundled scene, {name}: F1 {found['F1']:.3f}, AP {found['AP']:.3f}")
    console.print(f"CPU ms a tick by people: {results['cpu_ms']}")


def _print_part(console: Console, part: str, measured: dict[str, Any]) -> None:
    table = Table("faces", "speakers", "groups", "speech", "chance", *METHODS)
    table.title = f"{part} part: accuracy / AP of who is heard"
    for row in measured["groups"]:
        for found in row["results"]:
            cells = [f"{found[m]['accuracy']:.2f} / {found[m]['AP']:.2f}" for m in METHODS if m in found]
            kind, chance = "several" if row["mixed"] else "one", f"{1 / row['faces']:.2f}"
            speech = f"{found['speech_s']:g} s"
            table.add_row(str(row["faces"]), kind, str(found["asked"]), speech, chance, *cells)
    console.print(table)
    for row in measured["offsets"]:
        console.print(
            f"sound {row['late_ms']} ms late{'' if row['voice_in_view'] else ', of nobody in view'}, "
            f"{row['speech_s']:g} s of speech: told {row['told']:.2f}, right {row['right']:.2f}, "
            f"reported {row['reported']:.2f}",
            soft_wrap=True,
        )


def main() -> None:
    """Measure and print; exits with 2 and one line where the model or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of tracks (default: HMGEN_DATA)")
    parser.add_argument("--parts", nargs="+", choices=("validation", "test"), default=["validation"])
    parser.add_argument("--syncer", default="syncer", help="model name, or a .safetensors file")
    parser.add_argument("--groups", type=int, default=60, help="groups of each kind and size, at most")
    parser.add_argument("--chains", type=int, default=20, help="chains of clips for offsets of the sound")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        embedder = read_embedder(args.syncer)
        clips = {part: read_clips(part, args.data) for part in args.parts}
    except (WeightsError, CorpusError, ValueError, OSError) as error:
        print(f"active_speaker: {error}", file=sys.stderr)
        sys.exit(2)
    first = clips[args.parts[0]]
    results = {
        "syncer": args.syncer,
        "parts": {part: measure_part(own, embedder, args) for part, own in clips.items()},
        "scene": measure_scene(embedder),
        "cpu_ms": {n: round(measure_cost(first, embedder, n), 2) for n in (1, 4)},
        "machine": machine(),
    }
    _print(Console(), results)
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
