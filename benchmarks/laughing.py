"""How often perception says of people who talk, and do not laugh, that they laugh.

    PYTHONPATH=. python benchmarks/laughing.py [--data FOLDER] [--clips N] [--json FILE]

Sentences of the GRID corpus, with the silence around them, five of one speaker after the other: real
faces and voices, none of which laughs. Nothing here tells how much laughter is found, for there is none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from speaker_groups import TICK_SAMPLES, Clip, joined, read_clips

from hmgen_ros.data.ami import CorpusError
from hmgen_ros.perception.hysteresis import Latch
from hmgen_ros.perception.laughing import (
    BURST_WINDOWS,
    SmileMeter,
    burst_probability,
    laughing_probability,
)
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.voice import VoiceActivity
from hmgen_ros.types import TICK_NS, AudioChunk

IN_A_ROW, TOLD = 5, ("smile", "bursts", "both", "laughing")


def false_alarms(clip: Clip) -> Counter[str]:
    """Ticks, and those on which a smile, bursts, both, and laughing that holds are told."""
    voice, meter, latch = VoiceActivity(), SmileMeter(), Latch(PerceptionConfig().laughing)
    found: Counter[str] = Counter()
    for tick, landmarks in enumerate(clip.landmarks):
        samples = clip.sound[tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES]
        voice.push(AudioChunk(tick * TICK_NS, samples, SAMPLE_RATE))
        frame = normalise(landmarks)
        smile = meter.update(None if frame is None else frame[0])
        bursts = burst_probability(voice.levels_until(tick * TICK_NS, BURST_WINDOWS))
        both = laughing_probability(smile, bursts)
        found.update(
            ticks=1,
            smile=int(smile >= 0.5),
            bursts=int(bursts >= 0.5),
            both=int(both >= 0.5),
            laughing=int(latch.update(both)),
        )
    return found


def chains(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Whole rows of sentences of one speaker, up to ``most`` sentences of each."""
    found = []
    for speaker in sorted({clip.speaker for clip in clips}):
        own = [clip for clip in clips if clip.speaker == speaker][:most]
        found += [joined(own[i : i + IN_A_ROW]) for i in range(0, len(own) - IN_A_ROW + 1, IN_A_ROW)]
    return found


def main() -> None:
    """Measure and print; exits with 2 and one line where the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of tracks (default: HMGEN_DATA)")
    parser.add_argument("--clips", type=int, default=50, help="of each speaker, at most")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    try:
        clips = [clip for part in ("validation", "test") for clip in read_clips(part, args.data)]
    except (CorpusError, ValueError, OSError) as error:
        print(f"laughing: {error}", file=sys.stderr)
        sys.exit(2)
    found: dict[str, Counter[str]] = {}
    for clip in track(chains(clips, args.clips), "sentences", transient=True):
        found.setdefault(clip.speaker, Counter()).update(false_alarms(clip))
    shares = {who: {what: own[what] / own["ticks"] for what in TOLD} for who, own in found.items()}
    table = Table("speaker", "ticks", "smile", "bursts", "both", "laughing holds", title="share of ticks")
    for who, own in shares.items():
        table.add_row(who, str(found[who]["ticks"]), *(f"{share:.4f}" for share in own.values()))
    Console().print(table)
    if args.json is not None:
        args.json.write_text(json.dumps(shares, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
