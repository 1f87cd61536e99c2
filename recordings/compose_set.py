"""Composes a set of scenes of real people that tell how well perception works, with known truth.

Writes NAME.mp4, NAME.json and NAME.npz for every scene; scenes that are there already are kept, so that a
stopped run goes on. The same seed gives the same frames and samples before encoding. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from scene_clips import FPS, RATE, Clip, SceneError, check_files, load_clip
from scene_head import make_landmarker
from scene_moves import Staging, cross, gesticulate, hide, leave, stay
from scene_schedule import Manners, Sentence, Turn, make_turns, plan_person
from scene_sound import mix
from scene_stage import Actor, Drawn, draw, shrunk
from scene_truth import merge_intervals, sha256_of

#: What is written into truth files; scenes of another version are composed anew.
VERSION = 1


@dataclass(frozen=True)
class Sitting:
    """Clips of one person in the same clothes.

    Attributes:
        clips: names.
        gain: factors of blue, green and red, so that all sit in one light.
        eyes_px: distance of the outer eye corners in a scene.
        height: of the eyes in the picture, as a share of its height from the top.
    """

    clips: tuple[str, ...]
    gain: tuple[float, float, float]
    eyes_px: float
    height: float


# fmt: off
SITTINGS = {
    "s1": Sitting(
        ("s1_bgbh4n", "s1_lgas2n", "s1_lrbr7a", "s1_lwws6p", "s1_pbbj1a", "s1_pgak4p", "s1_pwaj8p",
         "s1_sgbp5s", "s1_sran8n", "s1_lgwt3a", "s1_bbaf2n", "s1_bbwm7a", "s1_brag1a", "s1_lbwe5s",
         "s1_priv4n", "s1_sgac3s"),
        (0.88, 0.95, 1.05), 57, 0.71),
    "s26": Sitting(
        ("s26_lbbo3n", "s26_lrbi7p", "s26_pbbg5p", "s26_srizza", "ln_swiz3n"), (1.08, 0.96, 1.0), 58, 0.7),
    "s26 grey": Sitting(
        ("s26_bgbsza", "s26_bwaq8s", "s26_lwajza", "s26_lwwx5p", "s26_swbm3n"), (0.9, 0.95, 1.0), 57, 0.7),
    "v2s": Sitting(
        ("v2s_bgim8s", "v2s_brwt1n", "v2s_bwif7n", "v2s_lgar9n", "v2s_pbbc4a", "v2s_prbc8s", "v2s_prio8s",
         "v2s_sgii1p"),
        (1.16, 0.95, 1.02), 63, 0.77),
}
# fmt: on
#: Clips that a person speaks and listens in within one scene; more only cost memory.
CLIPS_A_SCENE = 6
LEAD_S = 2.6

Move = Callable[[int, Sequence[float], Sequence[Sequence[tuple[int, int]]], np.random.Generator], Staging]


@dataclass(frozen=True)
class Kind:
    """A sort of scene.

    Attributes:
        text: what happens in it.
        count: how many of it the set has.
        seconds: about how long one is.
        move: makes the staging.
        cast: sittings from left to right; drawn for each scene where there are none.
        size: of the picture.
        manners: of the conversation.
        gestures: head gestures are known: those that are staged, and no others.
    """

    text: str
    count: int
    seconds: float
    move: Move
    cast: tuple[str, ...] = ()
    size: tuple[int, int] = (640, 360)
    manners: Manners = field(default_factory=Manners)
    gestures: bool = False


def _seats(size: tuple[int, int], people: int) -> list[float]:
    """Where the seats are across; the outer ones are nearer to the border than to each other."""
    return [size[0] * (0.5 + (i - (people - 1) / 2) / (people + 0.08)) for i in range(people)]


def _frozen(frames: int, seats: Sequence[float], busy: Any, rng: np.random.Generator) -> Staging:
    staging = stay(frames, len(seats))
    staging.frozen = True
    return staging


KINDS = {
    "seated": Kind("three people keep their seats", 4, 150, lambda t, s, b, r: stay(t, len(s))),
    "crossing": Kind(
        "they change places, passing before each other", 2, 60, lambda t, s, b, r: cross(t, s, 10, r)
    ),
    "leaving": Kind("they leave and come back within 10 s", 1, 80, lambda t, s, b, r: leave(t, s, 640, 8, r)),
    "hidden": Kind("hands and books before faces", 1, 60, lambda t, s, b, r: hide(t, len(s), 14, r)),
    "gestures": Kind(
        "nods, shakes, and slow glances that are neither",
        2,
        75,
        lambda t, s, b, r: gesticulate(t, len(s), b, r),
        gestures=True,
    ),
    "two_voices": Kind(
        "two people speak at once most of the time",
        1,
        60,
        lambda t, s, b, r: stay(t, len(s)),
        manners=Manners(overlap_s=(0.7, 1.4), overlap_p=1.0),
    ),
    "still": Kind("a held picture", 1, 12, _frozen, ("s1", "s26", "v2s"), (640, 480)),
    "one": Kind("one person, for speed", 1, 20, lambda t, s, b, r: stay(t, len(s)), ("s1",)),
    "four": Kind(
        "four people, for speed",
        1,
        20,
        lambda t, s, b, r: stay(t, len(s)),
        ("s1", "s26", "v2s", "s26 grey"),
        (854, 360),
    ),
}
SCENES = {f"{name}_{k + 1}": (name, k) for name, kind in KINDS.items() for k in range(kind.count)}


@dataclass(frozen=True)
class Composed:
    """A scene before it is drawn."""

    name: str
    kind: Kind
    cast: Sequence[str]
    turns: Sequence[Turn]
    plans: Sequence[Any]
    actors: Sequence[Actor]
    staging: Staging
    sound: NDArray[np.float32]


def build(name: str, data: Path, seed: int) -> Composed:
    """Read the clips of a scene and decide everything that chance decides.

    Raises:
        SceneError: clips are missing or damaged.
    """
    kind_name, number = SCENES[name]
    kind = KINDS[kind_name]
    entropy = [seed, list(KINDS).index(kind_name), number]
    seeds = np.random.SeedSequence(entropy).spawn(8)
    choice, talk, noise, moves, *own = map(np.random.default_rng, seeds)
    third = str(choice.choice(["s26", "s26 grey"]))
    cast = kind.cast or tuple(choice.permutation(["s1", "v2s", third]).tolist())
    chosen = [_drawn(SITTINGS[who].clips, choice) for who in cast]
    names = sorted({clip for clips in chosen for clip in clips})
    check_files(data, names)
    clips = {clip: _clip(data, clip) for clip in names}
    each = max(2, round(kind.seconds / 60 * 25 / len(cast)))
    said = [[_sentence(clips[c]) for c in (own_clips * each)[:each]] for own_clips in chosen]
    turns = make_turns(said, LEAD_S, talk, kind.manners)
    # Turns that would make the scene longer than wanted are left out.
    turns = [t for t in turns if t.speech[1] < kind.seconds - 1.5]
    frames = round(kind.seconds * FPS)
    seats, plans, actors = _seats(kind.size, len(cast)), [], []
    for i, (who, own_clips, rng) in enumerate(zip(cast, chosen, own, strict=False)):
        rest = {c: clips[c].rest_runs() for c in own_clips}
        rest = {c: runs for c, runs in rest.items() if runs}
        if not rest:
            raise SceneError(f"scene {name}: {who} keeps a closed mouth in none of {', '.join(own_clips)}")
        plans.append(plan_person([t for t in turns if t.person == i], rest, frames, rng))
        seat = SITTINGS[who]
        place = {
            "face_at": [seats[i], seat.height * kind.size[1]],
            "eye_distance_px": seat.eyes_px,
            "gain_bgr": seat.gain,
        }
        actors.append(Actor(place, {c: clips[c] for c in own_clips}, rng))
    busy = [[(t.frame, t.stop) for t in turns if t.person == i] for i in range(len(cast))]
    staging = kind.move(frames, seats, busy, moves)
    for i, actor in enumerate(actors):
        actor.act(staging, i, make_landmarker() if staging.gestures[i] else None)
    return Composed(name, kind, cast, turns, plans, actors, staging, mix(turns, clips, frames, noise))


@lru_cache(maxsize=40)
def _clip(data: Path, name: str) -> Clip:
    return shrunk(load_clip(data, name))


def _drawn(clips: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [clips[i] for i in rng.permutation(len(clips))[:CLIPS_A_SCENE]]


def _sentence(clip: Clip) -> Sentence:
    return Sentence(clip.name, *clip.speech, *clip.shown_range())


def write(scene: Composed, out: Path, seed: int, crf: int) -> Path:
    """Draw and encode a scene, and write what is known about it; returns the recording's path."""
    media = out / f"{scene.name}.mp4"
    unfinished = media.with_suffix(".part.mp4")
    shown = _encode(scene, unfinished, crf)
    arrays = {}
    for i in range(len(scene.cast)):
        arrays[f"{_label(scene, i)}/eyes"] = shown.landmarks[:, i, [36, 45]].astype(np.float32)
        arrays[f"{_label(scene, i)}/visible"] = shown.visible[:, i].astype(np.float32)
    np.savez_compressed(media.with_suffix(".npz"), **arrays)
    truth = {
        "title": scene.name,
        "kind": SCENES[scene.name][0],
        "description": scene.kind.text,
        "generator": f"recordings/compose_set.py --seed {seed}, version {VERSION}",
        "sha256": sha256_of(unfinished),
        "fps": FPS,
        "frames": len(shown.visible),
        "duration_s": len(shown.visible) / FPS,
        "size": list(scene.kind.size),
        "people": [_person(scene, i, shown.landmarks[:, i]) for i in range(len(scene.cast))],
    }
    unfinished.rename(media)
    # Last, so that a scene with a truth file is complete.
    media.with_suffix(".json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return media


def _label(scene: Composed, i: int) -> str:
    return f"{i}_{scene.cast[i].replace(' ', '_')}"


def _person(scene: Composed, i: int, landmarks: NDArray[np.float64]) -> dict[str, Any]:
    spoken = merge_intervals(
        [(round(t.speech[0], 3), round(t.speech[1], 3)) for t in scene.turns if t.person == i]
    )
    told: dict[str, Any] = {
        "label": _label(scene, i),
        "speaker": scene.cast[i].split()[0],
        "track": f"{scene.name}.npz",
        "speaking": [] if scene.staging.frozen else [list(span) for span in spoken],
    }
    if scene.kind.gestures:
        staged = scene.staging.gestures[i]
        kinds = {
            kind: [[g.start / FPS, g.stop / FPS] for g in staged if g.kind == kind]
            for kind in ("nod", "shake")
        }
        told["actions"] = {"head_gesture": sorted(span for spans in kinds.values() for span in spans)}
        told["gestures"] = kinds
    if scene.staging.frozen:
        told["still"] = [[1.0, len(landmarks) / FPS]]
    return told


def _encode(scene: Composed, path: Path, crf: int) -> Drawn:
    """Write the recording; returns the landmarks and shares of all frames, and the last picture."""
    frames = len(scene.staging.shift)
    points, shares, picture = [], [], np.zeros((1, 1, 3), np.uint8)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        video = file.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *scene.kind.size, "yuv420p"
        video.codec_context.thread_count = 1
        sound = file.add_stream("aac", rate=RATE, layout="mono")
        sound.bit_rate = 64_000
        samples = scene.sound * 0 if scene.staging.frozen else scene.sound
        for at in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts = RATE, at
            file.mux(sound.encode(block))
        file.mux(sound.encode(None))
        drawn = draw(scene.actors, scene.plans, scene.staging, scene.kind.size)
        for t, one in track(enumerate(drawn), scene.name, total=frames):
            picture = one.picture
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = t
            file.mux(video.encode(frame))
            points.append(one.landmarks)
            shares.append(one.visible)
        file.mux(video.encode(None))
    return Drawn(picture, np.stack(points), np.stack(shares))


def is_there(name: str, out: Path, seed: int) -> bool:
    """Whether a scene is complete and was made by this version with this seed."""
    path = out / f"{name}.json"
    if not path.is_file() or not path.with_suffix(".mp4").is_file():
        return False
    told: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return bool(told.get("generator") == f"recordings/compose_set.py --seed {seed}, version {VERSION}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compose what is not there yet; 2 with one line on standard error if that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="compose_set.py",
        description=__doc__.splitlines()[0] if __doc__ else None,
        epilog="example: python recordings/compose_set.py --out scenes --seed 1",
    )
    data = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with grid_video and grid_tracks")
    parser.add_argument("--out", type=Path, required=True, help="folder for the scenes")
    parser.add_argument("--seed", type=int, default=1, help="of all chance; the report's is 2026")
    parser.add_argument("--only", nargs="+", default=list(SCENES), choices=list(SCENES), metavar="NAME")
    parser.add_argument("--crf", type=int, default=18, help="H.264 quality, lower is better and larger")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in args.only:
            if not is_there(name, args.out, args.seed):
                write(build(name, args.data, args.seed), args.out, args.seed, args.crf)
    except SceneError as error:
        print(f"compose_set.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
