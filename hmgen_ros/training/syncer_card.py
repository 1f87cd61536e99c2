"""Ships the best pyramid of a syncer run: the file in ``models/``, its manifest entry and its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.evaluation.sync_metrics import reach
from hmgen_ros.generators.syncer import FACE_WINDOW, LEVELS
from hmgen_ros.training.motion_card import SPEECH_LICENCE_NOTE, origin
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.types import TICK_HZ

#: What the pyramids are for, by the loss that they were trained by.
_USES = {
    "infonce": (
        "trained by InfoNCE, to train generators with and to tell which of several faces speaks. Generators "
        "must be measured with another one."
    ),
    "triplet": (
        "trained by the triplet loss, to measure synchrony with (`hmgen evaluate sync`). No generator may be "
        "trained with it, or it would be judged by what it was taught."
    ),
}
_HEARD = {
    "mfcc": "26 mel-frequency cepstral coefficients every 10 ms",
    "logmel": "the logarithms of 26 mel bands every 10 ms",
}

_TEXT = """# {title}

Pyramid of syncers (thesis 5.3.1): how well a moving face fits a voice, at four time scales.

- Use: {use} It knows
  few faces and voices, of people who speak English to a camera; other languages, noise, music and several
  voices at once are a guess.
- Hears {heard} (`{features}`) of 16 kHz mono sound; sees 68
  landmarks at {rate} Hz in the frame of the head.
- Trained on: {trained_on}. Speakers of the validation and test parts are others, but for recordings of two
  speakers (see `hmgen_ros/data/tracks.py`).
- Command: `{command}` ({created}), {iterations} iterations in {minutes:.1f} minutes; the best of them by
  what it fails to retrieve on the validation tracks is iteration {best_iteration}.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

## Scores on the validation tracks

Retrieval: how often the right window of a face lies nearer to a sound than {negatives} wrong ones, half of
them from the same sequence. Offset: how often the offset of a sequence of {ticks} ticks in time is found to
a sample of the level; a level tries as many shifts as leave half of its windows to compare.

| level | a window covers | a sample is | retrieval | by chance | offset found | by chance | shifts tried |
| --- | --- | --- | --- | --- | --- | --- | --- |
{scores}
"""


def ship(shipment: Shipment, corpus: Corpus) -> Path:
    """Write pyramid, manifest entry and card, see :meth:`Shipment.write`.

    Args:
        shipment: of a run that has a best pyramid.
        corpus: the training part.
    """
    settings = shipment.settings
    facts = {
        "use": _USES[settings["loss"]],
        "heard": _HEARD[settings["features"]],
        "rate": TICK_HZ,
        "negatives": settings["negatives"],
        "ticks": settings["ticks"],
        "scores": _scores(shipment.result["best"], settings),
    }
    told = ("loss", "features", "seed")
    return shipment.write(_TEXT, facts, origin(corpus), SPEECH_LICENCE_NOTE, told)


def _scores(best: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    rows, samples, sample_ms = [], settings["ticks"], 1000 // TICK_HZ
    for level in range(1, LEVELS + 1):
        most = reach(samples - FACE_WINDOW + 1)
        cells = (
            str(level),
            f"{FACE_WINDOW * sample_ms} ms",
            f"{sample_ms} ms",
            f"{best[f'retrieved_{level}']:.1%}",
            f"{1.0 / (1.0 + settings['negatives']):.1%}",
            f"{best[f'in_time_{level}']:.1%}",
            f"{min(1.0, 3.0 / (2.0 * most + 1.0)):.1%}",
            f"−{most} to {most}",
        )
        rows.append("| " + " | ".join(cells) + " |")
        samples, sample_ms = -(-samples // 2), 2 * sample_ms
    return "\n".join(rows)
