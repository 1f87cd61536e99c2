"""Composes a conversation of real people from single-speaker clips, with known truth of who speaks when.

Writes TITLE.mp4 (H.264, AAC), TITLE.json and TITLE.rttm. The same scene and seed give the same frames and
samples before encoding. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from scene_clips import FPS, RATE, Clip, SceneError, check_files, load_clip, load_scene
from scene_picture import Figure, blend_grounds, fade_weight
from scene_schedule import Piece, Sentence, Turn, make_turns, plan_person
from scene_sound import mix
from scene_truth import person_truth, sha256_of, speaking_matrix, to_rttm

HERE = Path(__file__).resolve().parent
GENERATOR = "recordings/compose.py"


@dataclass(frozen=True)
class Scene:
    """A composed scene before encoding: description, turns, per person pieces and figure, sound."""

    spec: Mapping[str, Any]
    turns: Sequence[Turn]
    plans: Sequence[Sequence[Piece]]
    figures: Sequence[Figure]
    sound: NDArray[np.float32]
    frames: int


def build_scene(spec: Mapping[str, Any], data: Path, seed: int) -> Scene:
    """Read the clips and decide everything that chance decides; SceneError on missing or unfit clips."""
    names = sorted({n for p in spec["people"] for n in (*p["sentences"], *p["rest"])})
    check_files(data, names)
    clips = {n: load_clip(data, n) for n in track(names, "reading clips")}
    seeds = np.random.SeedSequence(seed).spawn(2 + len(spec["people"]))
    talk, noise, *own = map(np.random.default_rng, seeds)
    sentences = [[_sentence(clips[n]) for n in p["sentences"]] for p in spec["people"]]
    turns = make_turns(sentences, spec["lead_in_s"], talk)
    frames = round((max(t.speech[1] for t in turns) + spec["lead_out_s"]) * FPS)
    plans, figures = [], []
    for i, (person, rng) in enumerate(zip(spec["people"], own, strict=True)):
        rest = {n: clips[n].rest_runs() for n in person["rest"]}
        if not any(rest.values()):
            raise SceneError(f"people[{i}] ({person['label']}): no silent closed mouth in the 'rest' clips")
        plans.append(plan_person([t for t in turns if t.person == i], rest, frames, rng))
        used = dict.fromkeys((*person["sentences"], *person["rest"]))
        figures.append(Figure(person, {n: clips[n] for n in used}, rng))
    return Scene(spec, turns, plans, figures, mix(turns, clips, frames, noise), frames)


def _sentence(clip: Clip) -> Sentence:
    first, last = clip.shown_range()
    return Sentence(clip.name, *clip.speech, first, last)


def draw(scene: Scene) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Each frame ``[H, W, 3]`` uint8 BGR with the landmarks ``[people, 68, 2]`` of what it shows."""
    size = tuple(scene.spec["size"])
    ground = blend_grounds(scene.figures, size)
    shown = [f.align(p) for f, p in zip(scene.figures, scene.plans, strict=True)]
    starts = [{p.start for p in plan[1:]} for plan in scene.plans]
    begun = [0] * len(shown)
    # The middle people sit behind their neighbours.
    order = sorted(range(len(shown)), key=lambda i: -min(i, len(shown) - 1 - i))
    for t in range(scene.frames):
        picture = ground.copy()
        for i in order:
            if t in starts[i]:
                begun[i] = t
            part = slice(max(scene.figures[i].columns[0], 0), scene.figures[i].columns[1])
            colour, matte = _layer(scene.figures[i], shown[i], t, begun[i], ground[:, part])
            picture[:, part] = picture[:, part] * (1 - matte) + colour
        points = np.stack([f.landmarks(s[t], t) for f, s in zip(scene.figures, shown, strict=True)])
        yield np.clip(picture + 0.5, 0, 255).astype(np.uint8), points


def _layer(
    figure: Figure, shown: Sequence[Any], t: int, begun: int, ground: NDArray[np.float32]
) -> tuple[Any, Any]:
    colour, matte = figure.render(shown[t], t, ground)
    weight = fade_weight(t - begun) if begun else 1.0
    before = shown[begun - 1]
    continues = begun and shown[begun].clip == before.clip and abs(shown[begun].index - before.index) <= 1
    if weight < 1.0 and not continues:
        old_colour, old_matte = figure.render(before, t, ground)
        colour = weight * colour + (1 - weight) * old_colour
        matte = weight * matte + (1 - weight) * old_matte
    return colour, matte


def encode(scene: Scene, path: Path, crf: int) -> NDArray[np.float64]:
    """Write the mp4; returns the landmarks of all frames ``[T, people, 68, 2]``."""
    width, height = scene.spec["size"]
    points = []
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        video = file.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "slow"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        # One encoder thread: the result does not depend on the number of cores.
        video.codec_context.thread_count = 1
        audio = file.add_stream("aac", rate=RATE, layout="mono")
        audio.bit_rate = 64_000
        for packet in _audio_packets(scene.sound, audio):
            file.mux(packet)
        for t, (picture, shown) in track(enumerate(draw(scene)), "drawing", total=scene.frames):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = t
            file.mux(video.encode(frame))
            points.append(shown)
        file.mux(video.encode(None))
    return np.stack(points)


def _audio_packets(sound: NDArray[np.float32], stream: Any) -> Iterator[Any]:
    for at in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, at
        yield from stream.encode(frame)
    yield from stream.encode(None)


def truth_of(scene: Scene, points: NDArray[np.float64], seed: int, media: Path) -> dict[str, Any]:
    """The truth file's content: times in seconds from the start of the scene, places in pixels."""
    people = [
        person_truth(p, [t for t in scene.turns if t.person == i], points[:, i])
        for i, p in enumerate(scene.spec["people"])
    ]
    at_once = np.bincount(speaking_matrix(people, scene.frames).sum(axis=1), minlength=len(people) + 1)
    return {
        "title": scene.spec["title"],
        "media": media.name,
        "sha256": sha256_of(media),
        "generator": f"{GENERATOR} --seed {seed}",
        "fps": FPS,
        "frames": scene.frames,
        "duration_s": scene.frames / FPS,
        "size": list(scene.spec["size"]),
        "audio_rate_hz": RATE,
        "speakers_at_once": (at_once / scene.frames).round(3).tolist(),
        "people": people,
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="compose.py",
        description=__doc__.splitlines()[0] if __doc__ else None,
        epilog="example: python recordings/compose.py --data ../shared/data --out recordings --seed 26",
    )
    data = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
    for name, default, text in (
        ("--data", data, "folder with grid_video/*.mpg and grid_tracks/*.npz; HMGEN_DATA sets the default"),
        ("--scene", HERE / "three_people.scene.json", "description of the scene"),
        ("--out", HERE, "folder for the results"),
        ("--seed", 26, "seed of all chance"),
        ("--crf", 20, "H.264 quality, lower is better and larger"),
    ):
        kind = int if isinstance(default, int) else Path
        parser.add_argument(name, type=kind, default=default, help=f"{text} (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compose one scene from the command line; 2 with one line on standard error if that cannot be done."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    try:
        spec = load_scene(args.scene)
        scene = build_scene(spec, args.data, args.seed)
    except SceneError as error:
        print(f"compose.py: {error}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    media = args.out / f"{spec['title']}.mp4"
    truth = truth_of(scene, encode(scene, media, args.crf), args.seed, media)
    media.with_suffix(".json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    media.with_suffix(".rttm").write_text(to_rttm(truth), encoding="utf-8")
    print(f"{media}: {truth['duration_s']:.2f} s, {media.stat().st_size / 2**20:.2f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
