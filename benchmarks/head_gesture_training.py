"""Fits the network of perception/gesture_network.py and writes it with its manifest entry and card.

    PYTHONPATH=. python benchmarks/head_gesture_training.py [--data FOLDER] [--sequences N] [--models FOLDER]

Learns from the heads of the training part of the tracks with synthetic gestures (``gesture_tracks.py``); the
score is that of the validation part. ``head_gestures.py`` measures the test part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from gesture_tracks import GestureTrack, compose_all, read_bases
from head_gestures import Counted, judge
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from hmgen_ros.data.ami import CorpusError
from hmgen_ros.generators.weights import register, save
from hmgen_ros.perception.gesture_network import KINDS, LAYERS, MODEL, SOFT, TURNS, GestureNetwork
from hmgen_ros.perception.gestures import HeadGesture

HIDDEN, STEPS, BATCH, RATE, DECAY = 32, 6000, 1024, 6e-3, 1e-2
#: Sizes of movements are varied by a factor whose logarithm has this standard deviation.
SIZES = 0.15
VALIDATED = 150
COMMAND = "python benchmarks/head_gesture_training.py"
LICENCE_NOTE = (
    "Trained on landmarks of the GRID audio-visual sentence corpus (M. Cooke, J. Barker, S. Cunningham, "
    "X. Shao, 2006; CC BY 4.0) and on landmark files of public addresses (files under MIT licence, footage "
    "of the US government, public domain)."
)
CARD = """# head_gestures

Nods, shakes and tilts of a head, told from the last {turns} changes of its yaw, pitch and roll (0.8 s).

- Use: `hmgen_ros.perception.gestures`. The gestures that it learned from are synthetic turns laid over the
  heads of few real people who speak English to a camera: gestures of other forms are a guess.
- Network: {turns} x 3 inputs, two hidden layers of {hidden}, three outputs.
- Trained on: {trained_on}.
- Command: `{command}` ({created})
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

Validation part (other people, and other recordings of the same): nods, shakes and tilts together, with
perception's default latch: F1 of events {events:.3f}, of ticks {ticks:.3f}, of ticks {late:.3f} where 4 ticks
late is in time. `benchmarks/head_gestures.py` measures the test part.
"""


def windows(tracks: Sequence[GestureTrack]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``[N, TURNS, 3]`` of what perception shows to its network, and the ``[N, 3]`` truth."""
    seen: list[NDArray[np.float32]] = []
    wanted = []

    def record(turns: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(turns.copy())
        return np.zeros(len(KINDS), np.float32)

    for track in tracks:
        head = HeadGesture(record)
        elapsed = np.diff(track.ticks, prepend=-1)
        for pose, tick, ticks in zip(track.poses, track.ticks, elapsed, strict=True):
            head.update(pose, int(ticks))
            if pose is not None:
                wanted.append(track.truth[tick] == 1 + np.arange(len(KINDS)))
    return np.array(seen), np.array(wanted, np.float32)


def fit(turns: NDArray[np.float32], wanted: NDArray[np.float32], seed: int) -> nn.Sequential:
    """The network, its layers named as in the file."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(3 * TURNS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 3)
    )
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    inputs, truth = torch.from_numpy(turns), torch.from_numpy(wanted)
    for _ in range(STEPS):
        drawn = torch.randint(len(inputs), (BATCH,))
        loss = nn.functional.binary_cross_entropy_with_logits(net(_varied(inputs[drawn])), truth[drawn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net


def _varied(turns: Tensor) -> Tensor:
    """Mirrored half of the time, and larger or smaller."""
    mirrored = torch.tensor([-1.0, 1.0, -1.0]).where(torch.rand(len(turns), 1, 1) < 0.5, torch.tensor(1.0))
    sizes = torch.exp(SIZES * torch.randn(len(turns), 1, 1))
    return torch.tanh(turns * mirrored * sizes / SOFT).flatten(1)


def write(net: nn.Sequential, folder: Path, trained_on: str, held_out: Sequence[GestureTrack]) -> Counted:
    """The file, its entry in the manifest and its card; returns the validation score."""
    path = folder / Path(MODEL).name
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    digest = save(
        path,
        {"kind": "head_gestures", "turns": TURNS, "kinds": list(KINDS)},
        {
            f"{name}.{key}": value
            for name, layer in zip(LAYERS, linear, strict=True)
            for key, value in layer.named_parameters()
        },
    )
    score = judge(held_out, GestureNetwork(path))
    entry = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": "head_gestures",
        "card": f"{path.stem}.md",
        "licence": "CC-BY-4.0",
        "licence_note": LICENCE_NOTE,
        "trained_on": trained_on,
        "command": COMMAND,
        "created": datetime.now(UTC).date().isoformat(),
        "metrics": {"validation": score.figures},
    }
    register(folder / "manifest.yaml", path.stem, entry)
    card = CARD.format(turns=TURNS, hidden=HIDDEN, **score.figures, **entry)
    (folder / str(entry["card"])).write_text(card, encoding="utf-8")
    return score


def main() -> None:
    """Fit, write and print; exits with 2 and one line where the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of tracks (default: HMGEN_DATA)")
    parser.add_argument("--sequences", type=int, default=1200, help="of 12 s, to learn from")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        bases = read_bases("train", args.data)
        held_out = compose_all(read_bases("validation", args.data), VALIDATED, args.seed + 1)
    except (CorpusError, OSError) as error:
        print(f"head_gesture_training: {error}", file=sys.stderr)
        sys.exit(2)
    tracks = compose_all(bases, args.sequences, args.seed)
    speakers = ", ".join(sorted({base.speaker for base in bases}))
    told = f"{args.sequences} sequences of 12 s of the heads of {speakers}, with synthetic gestures"
    net = fit(*windows(tracks), args.seed)
    Console().print(write(net, args.models, told, held_out).figures)


if __name__ == "__main__":
    main()
