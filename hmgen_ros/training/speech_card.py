"""Ships the best model of a speech-driven run: the file in ``models/``, its manifest entry and its card."""

from __future__ import annotations

from pathlib import Path

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.training.motion_card import SPEECH_LICENCE_NOTE, origin
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.speech_systems import SpeechSystem
from hmgen_ros.types import TICK_HZ
from hmgen_ros.types.sound import LOOK_AHEAD_S

_TEXT = """# {title}

{text}.

- Use: a head and lips that move with speech, as it is heard, from one pose on. Trained on one speaker of
  short English sentences, who hardly moves his head: other voices, languages and noise are a guess, and so
  are heads of lively speakers.
- Hears `{features}` features of 16 kHz mono sound, and {ahead_ms:.0f} ms beyond the tick that it moves at.
- Trained on: {trained_on}. Speakers of the test part are others (see `hmgen_ros/data/tracks.py`).
- Command: `{command}` ({created}), {iterations} iterations in {minutes:.1f} minutes; the best of them by
  validation {metric} is iteration {best_iteration}.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

## Scores on the validation tracks

Each held-out pose is gone on from by its own sound. `fd_window` is the Fréchet distance of plain features of
displacements and velocities (lower is closer), speed and jerk are in units of the data's, `conf_1` to
`conf_4` the confidence at four time scales (higher is more in time; `data` is that of the faces themselves);
`energy`, where it stands, is the score that the model was trained by. `hmgen evaluate sync` gives the scores
that models are compared by.

| metric | model | data |
| --- | --- | --- |
{scores}
"""


def ship(shipment: Shipment, system: SpeechSystem, corpus: Corpus) -> Path:
    """Write model, manifest entry and card, see :meth:`Shipment.write`.

    Args:
        shipment: of a run on tracks with sound.
        system: what was trained.
        corpus: the training part.
    """
    ahead_s = shipment.settings["look_ahead"] / TICK_HZ + LOOK_AHEAD_S
    facts = {
        "text": system.text,
        "metric": system.metric,
        "ahead_ms": 1000.0 * ahead_s,
        "scores": shipment.scores,
    }
    told = ("system", "features", "seed")
    return shipment.write(_TEXT, facts, origin(corpus), SPEECH_LICENCE_NOTE, told)
