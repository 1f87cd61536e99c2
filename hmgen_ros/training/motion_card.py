"""Ships the best model of a head-motion run: the file in ``models/``, its manifest entry and its card."""

from __future__ import annotations

from pathlib import Path

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.training.motion_systems import MotionSystem
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.types import TICK_HZ

_GRID = "the GRID audio-visual sentence corpus (M. Cooke, J. Barker, S. Cunningham, X. Shao, 2006; CC BY 4.0)"
#: Of everything trained on the tracks in ``../shared/data``.
LICENCE_NOTE = (
    f"Trained on landmarks of {_GRID} and on landmark files of public addresses (files under MIT licence, "
    "footage of the US government, public domain)."
)
#: Of what is trained on those tracks there that have sound.
SPEECH_LICENCE_NOTE = f"Trained on landmarks and sound of {_GRID}."

_TEXT = """# {title}

{text}.

- Use: a head that moves by itself, from one pose on and without sound, for as long as one likes; and what
  heads in view will probably do. Trained on few people who speak to a camera, one of them far livelier
  than the others; listeners, profile views and people who walk about are a guess.
- Trained on: {trained_on}. Speakers of the validation and test parts are others, but for recordings of two
  speakers (see `hmgen_ros/data/tracks.py`).
- Command: `{command}` ({created}), {iterations} iterations in {minutes:.1f} minutes; the best of them by
  validation {metric} is iteration {best_iteration}.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

## Scores on the validation tracks

One generated future of {steps} ticks from each of some held-out poses. `fd_window` is the Fréchet distance
of plain features of displacements and velocities (lower is closer; `data` is that of training windows), speed
and jerk are in units of the data's; `energy`, where it stands, is the score that the model was trained by.
`hmgen evaluate motion` gives the scores that models are compared by.

| metric | model | data |
| --- | --- | --- |
{scores}
"""


def ship(shipment: Shipment, system: MotionSystem, corpus: Corpus) -> Path:
    """Write model, manifest entry and card, see :meth:`Shipment.write`.

    Args:
        shipment: of a run on landmark tracks.
        system: what was trained.
        corpus: the training part.
    """
    facts = {
        "text": system.text,
        "metric": system.metric,
        "steps": shipment.settings["steps"],
        "scores": shipment.scores,
    }
    return shipment.write(_TEXT, facts, origin(corpus), LICENCE_NOTE, ("system", "seed"))


def origin(corpus: Corpus) -> str:
    """How much of whom a model was trained on."""
    minutes = corpus.ticks / TICK_HZ / 60.0
    amount = f"{minutes:.0f} minutes of landmark tracks ({len(corpus.segments)} pieces)"
    return f"{amount} of {', '.join(corpus.speakers)}"
