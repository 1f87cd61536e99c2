"""``hmgen evaluate perception``: truth of many forms, degradations, and the bundled recording end to end."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmgen_ros.cli import main
from hmgen_ros.evaluation.evaluate_perception import EvaluatePerceptionConfig
from hmgen_ros.evaluation.perception_degradations import DEGRADATIONS, PORTRAIT, Voices, degrade, places
from hmgen_ros.evaluation.perception_report import PerceptionReportConfig, write_report
from hmgen_ros.evaluation.perception_run import Pass, Seen
from hmgen_ros.evaluation.perception_scores import Scores
from hmgen_ros.evaluation.perception_scoring import score_scene
from hmgen_ros.evaluation.perception_tables import targets
from hmgen_ros.evaluation.perception_truth import (
    PersonTruth,
    Place,
    SceneError,
    SceneTruth,
    read_scene,
    read_scenes,
)
from hmgen_ros.types import UNKNOWN_MASK, Action, AudioChunk, Frame, action_mask

EYES = [[100.0, 50.0], [160.0, 50.0]]


def write(folder: Path, name: str, truth: Any) -> Path:
    (folder / f"{name}.mp4").write_bytes(b"")
    (folder / f"{name}.json").write_text(json.dumps(truth), encoding="utf-8")
    return folder / f"{name}.mp4"


def person_of(path: Path) -> PersonTruth:
    scene = read_scene(path)
    assert scene is not None
    return scene.people[0]


def test_the_bundled_recording_is_scored_end_to_end(recording: str, tmp_path: Path) -> None:
    for ending in (".mp4", ".json"):
        shutil.copy(Path(recording).with_suffix(ending), tmp_path)
    (tmp_path / "damaged.mp4").write_bytes(b"no video")
    (tmp_path / "damaged.json").write_text('{"people": []}', encoding="utf-8")
    (tmp_path / "untold.mp4").write_bytes(b"")
    out = tmp_path / "out" / "perception.json"
    main(["evaluate", "perception", "--scenes", str(tmp_path), "--seconds", "10", "--json", str(out)])
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["id_switches"] == 0
    assert report["mota"] > 0.95
    assert report["active_speaker_ap"] > 0.8
    assert report["vad_f1"] > 0.8
    assert report["labels"]["speaking"]["recall"] > 0.7
    assert {"frame", "detect", "landmarks", "voice"} <= report["cpu_ms"].keys()
    stages = sum(ms for name, ms in report["cpu_ms"].items() if name != "frame")
    assert 0.5 * stages <= report["cpu_ms"]["frame"] < 200
    assert report["still_jitter_px"] is None
    assert list(report["scenes"]) == ["three_people"]
    assert "damaged.mp4" in report["failed"]["damaged"]
    assert "no truth file" in report["failed"]["untold"]
    assert report["peak_memory_mb"] > 50


def test_a_place_is_read_in_every_form(tmp_path: Path) -> None:
    seat = person_of(write(tmp_path, "seat", {"people": [{"outer_eye_corners_px": EYES}]})).place
    assert seat is not None
    middle, size, visible = seat.at(100.0)
    assert (middle.tolist(), size, visible) == ([130.0, 50.0], 60.0, 1.0)
    region = person_of(write(tmp_path, "region", {"people": [{"face_region_px": [80, 20, 180, 120]}]})).place
    assert region is not None
    np.testing.assert_allclose(region.at(0)[0], [130, 50])
    track = [None, {"eyes": EYES}, {"box": [80, 20, 180, 120], "visible": 0.2}, [80, 20, 180, 120]]
    listed = person_of(write(tmp_path, "list", {"fps": 10, "people": [{"track": track}]})).place
    assert listed is not None
    assert [listed.at(t)[2] for t in (0.0, 0.1, 0.2, 0.3)] == [0.0, 1.0, 0.2, 1.0]
    np.savez(tmp_path / "t.npz", **{"ann/eyes": np.array([EYES, EYES]), "ann/visible": np.array([1, 0])})
    filed = person_of(write(tmp_path, "file", {"people": [{"label": "ann", "track": "t.npz"}]})).place
    assert filed is not None
    assert [filed.at(t)[2] for t in (0.0, 0.04)] == [1.0, 0.0]


def test_intervals_and_actions_are_read(tmp_path: Path) -> None:
    told = {
        "label": "ann",
        "outer_eye_corners_px": EYES,
        "speaking": [{"start": 3, "end": 4}, [1, 2]],
        "actions": {"head_gesture": [[0.5, 0.9]]},
        "gestures": {"nod": [[0.5, 0.9]]},
    }
    person = person_of(write(tmp_path, "a", {"people": [told]}))
    assert person.speaking == ((1.0, 2.0), (3.0, 4.0))
    assert person.actions == {"head_gesture": ((0.5, 0.9),)}
    assert person.kinds == {"nod": ((0.5, 0.9),)}


def test_what_is_not_known_is_named_and_the_rest_scored(tmp_path: Path) -> None:
    (scene,) = read_scenes_of(tmp_path, [{"speaking": [[0, 1]]}, {"outer_eye_corners_px": EYES}])
    assert [m.split(":")[0] for m in scene.missing] == ["people[0]", "people[1]"]
    assert "track" in scene.missing[0]
    assert "speaking" in scene.missing[1]
    scores = score_scene(scene, observed([0.9, 0.1]))
    assert scores.summary()["id_switches"] is None
    assert scores.not_scored[scene.name] == list(scene.missing)


def read_scenes_of(folder: Path, people: list[dict[str, Any]]) -> list[SceneTruth]:
    write(folder, "scene", {"people": people})
    return read_scenes(folder)


def test_speech_of_an_rttm_file_alone_scores_the_voice(tmp_path: Path) -> None:
    (tmp_path / "talk.mkv").write_bytes(b"")
    lines = "SPEAKER talk 1 0.0 0.5 <NA> <NA> ann <NA> <NA>\nSPEAKER talk 1 0.2 0.1 <NA> <NA> bob <NA> <NA>\n"
    (tmp_path / "talk.rttm").write_text(lines, encoding="utf-8")
    (scene,) = read_scenes(tmp_path)
    summary = score_scene(scene, observed([0.9] * 12 + [0.1] * 8)).summary()
    assert summary["vad_f1"] == 1.0
    assert np.isnan(summary["active_speaker_ap"])


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ("{", "no JSON"),
        ('{"people": 3}', "list 'people'"),
        ('{"people": [{"speaking": [[2, 1]]}]}', r"people\[0\].*ends before"),
        ('{"people": [{"actions": {"dancing": []}}]}', r"people\[0\].*'dancing'"),
        ('{"people": [{"face_region_px": [5, 5, 5, 9]}]}', r"people\[0\].*x0 < x1"),
        ('{"people": [{"track": "none.npz"}]}', r"people\[0\].*none.npz"),
        ('{"people": [{"label": "bob", "track": "t.npz"}]}', r"people\[0\].*t.npz holds no bob/eyes"),
        ('{"people": [], "fps": 0}', "fps"),
        ('{"people": [], "fps": "many"}', "fps.*many"),
    ],
)
def test_damaged_truth_names_file_and_field(tmp_path: Path, truth: str, said: str) -> None:
    np.savez(tmp_path / "t.npz", **{"ann/eyes": np.array([EYES]), "ann/visible": np.ones(1)})
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "a.json").write_text(truth, encoding="utf-8")
    with pytest.raises(SceneError, match=rf"a\.json: .*{said}"):
        read_scenes(tmp_path)


def test_what_cannot_be_used_is_left_out_by_name(tmp_path: Path) -> None:
    write(tmp_path, "good", {"people": [{"speaking": []}]})
    write(tmp_path, "damaged", {"people": 3})
    (tmp_path / "untold.avi").write_bytes(b"")
    (tmp_path / "unseen.json").write_text('{"people": []}', encoding="utf-8")
    (tmp_path / "unheard.rttm").write_text("", encoding="utf-8")
    (tmp_path / "results.json").write_text('{"mota": 1.0}', encoding="utf-8")
    left_out: dict[str, str] = {}
    assert [scene.name for scene in read_scenes(tmp_path, left_out)] == ["good"]
    assert left_out.keys() == {"damaged", "untold", "unseen", "unheard"}
    assert "damaged.json: needs a list" in left_out["damaged"]
    assert "untold.avi: no truth file" in left_out["untold"]
    assert "unseen.json: no recording" in left_out["unseen"]
    (tmp_path / "good.json").unlink()
    with pytest.raises(SceneError, match=r"good\.mp4: no truth file"):
        read_scenes(tmp_path, {})


@pytest.mark.parametrize(("frames", "scored"), [(500, 500), (490, 500), (250, 250), (600, 500)])
def test_ticks_after_the_end_of_the_tracks_are_not_scored(frames: int, scored: int) -> None:
    """500 ticks are perceived; a person whose track ends is not missed, nor is one found who is nobody."""
    ann = PersonTruth("ann", track(100.0, frames), speaking=())
    found = observed([0.1] * 500, [(seen("a", 100, 0.2),)] * 500)
    whole, part = (score_scene(scene_of(ann), found, whole=whole) for whole in (True, False))
    assert whole.tracking.truths == part.tracking.truths == scored
    assert whole.summary()["mota"] == 1.0
    assert whole.summary()["false_positives"] == 0
    assert bool(whole.not_scored) == (frames in (250, 600))
    assert bool(part.not_scored) == (frames == 250)


def track(x: float, frames: int) -> Place:
    return Place(np.tile([[x, 50.0]], (frames, 1)), np.full(frames, 40.0), np.ones(frames), 25.0)


def test_without_sound_there_is_no_score_of_the_voice() -> None:
    ann = sitting("ann", 100, speaking=((0.0, 0.4),))
    scores = score_scene(scene_of(ann), observed([np.nan] * 20, [(seen("a", 100, 0.8),)] * 20))
    assert np.isnan(scores.summary()["vad_f1"])
    assert "nothing is heard" in scores.not_scored["s"][0]


def test_a_folder_without_scenes_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"NAME\.json"):
        read_scenes(tmp_path)
    with pytest.raises(SceneError, match="no such folder"):
        read_scenes(tmp_path / "none")
    with pytest.raises(ValueError, match="no degradation 'fog'"):
        EvaluatePerceptionConfig(tmp_path, degrade=("fog",))


def observed(voice: list[float], sights: list[tuple[Seen, ...]] | None = None) -> Pass:
    times = [0.04 * k for k in range(len(voice))]
    return Pass(times, voice, sights or [()] * len(voice))


def seen(name: str, x: float, voice: float = 0.0, *actions: Action, known: bool = True) -> Seen:
    mask = action_mask(*actions) if known else UNKNOWN_MASK
    face = np.full((68, 2), x, np.float32)
    return Seen(name, np.array([x, 50.0], np.float32), face, voice, mask)


def scene_of(*people: PersonTruth) -> SceneTruth:
    return SceneTruth("s", Path("s.mp4"), people, "s")


def sitting(label: str, x: float, **told: Any) -> PersonTruth:
    place = Place(np.array([[x, 50.0]]), np.array([40.0]), np.ones(1), 25.0)
    return PersonTruth(label, place, **told)


def test_scores_of_a_hand_made_scene() -> None:
    ann = sitting("ann", 100, speaking=((0.0, 0.4),), actions={"head_gesture": ((0.4, 0.8),)})
    bob = sitting("bob", 300, speaking=())
    ticks = [
        (seen("a", 105, 0.9, Action.SPEAKING), seen("b", 301, 0.2))
        if k < 10
        else (seen("a", 105, 0.1, Action.HEAD_GESTURE), seen("b", 301, 0.2))
        for k in range(20)
    ]
    summary = score_scene(scene_of(ann, bob), observed([0.9] * 10 + [0.1] * 10, ticks)).summary()
    assert (summary["mota"], summary["id_switches"], summary["ids_per_person"]) == (1.0, 0, 1.0)
    assert (summary["active_speaker_ap"], summary["vad_f1"]) == (1.0, 1.0)
    assert summary["labels"]["head_gesture"]["f1"] == 1.0
    assert summary["labels"]["speaking"]["events"]["f1"] == 1.0


def test_missed_people_do_not_speak_and_strangers_speak_wrongly() -> None:
    ann = sitting("ann", 100, speaking=((0.0, 0.4),))
    missed = score_scene(scene_of(ann), observed([0.9] * 20, [()] * 20)).summary()
    assert missed["mota"] == 0.0
    assert missed["active_speaker_ap"] == 0.5
    assert missed["labels"]["speaking"]["recall"] == 0.0
    stranger = [(seen("a", 100, 0.8), seen("x", 900, 0.9))] * 20
    summary = score_scene(scene_of(ann), observed([0.9] * 20, stranger)).summary()
    assert summary["false_positives"] == 20
    assert summary["active_speaker_ap"] == pytest.approx(0.25)


def test_unknown_actions_are_not_found() -> None:
    ann = sitting("ann", 100, actions={"drinking": ((0.0, 0.8),)})
    ticks = [(seen("a", 100, 0.0, Action.DRINKING, known=k < 10),) for k in range(20)]
    label = score_scene(scene_of(ann), observed([0.0] * 20, ticks)).summary()["labels"]["drinking"]
    assert (label["recall"], label["precision"], label["unknown_ticks"]) == (0.5, 1.0, 10)


def test_scores_add_up() -> None:
    ann = sitting("ann", 100, speaking=((0.0, 0.4),), still=((0.0, 0.8),))
    one = score_scene(scene_of(ann), observed([0.9] * 20, [(seen("a", 100, 0.8),)] * 20))
    both = (one + one).summary()
    assert both["ticks"] == 40
    assert both["labels"]["speaking"]["true"] == 20
    assert both["active_speaker_ap"] == one.summary()["active_speaker_ap"]
    assert both["still_jitter_px"] == 0.0
    assert (Scores() + one).summary() == one.summary()


def clip(frames: int = 50) -> list[Frame | AudioChunk]:
    rng = np.random.default_rng(0)
    items: list[Frame | AudioChunk] = []
    for k in range(frames):
        items.append(AudioChunk(1 + 40_000_000 * k, np.zeros(640, np.float32), 16_000))
        picture = rng.integers(60, 200, (48, 96, 3), np.uint8)
        items.append(Frame(1 + 40_000_000 * k, picture))
    return items


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradations_change_what_they_say_and_repeat_themselves(name: str) -> None:
    items = clip()
    once, again = (list(degrade(items, [name], Voices(-23.0, 5))) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert a.stamp_ns == b.stamp_ns
        if isinstance(a, Frame) and isinstance(b, Frame):
            np.testing.assert_array_equal(a.image, b.image)
    pictures = [i for i in once if isinstance(i, Frame)]
    sound = np.concatenate([i.samples for i in once if isinstance(i, AudioChunk)])
    if name.startswith("noise"):
        snr = float(name.removeprefix("noise_").removesuffix("db"))
        assert 20 * np.log10(sound.std()) == pytest.approx(-23 - snr, abs=1.5)
    elif name in ("fps15", "variable_rate"):
        steps = np.diff([p.stamp_ns for p in pictures]) / 1e6
        assert 60 < steps.mean() < 100
        assert name == "variable_rate" or np.ptp(steps) < 0.01
    else:
        assert len(pictures) == 50
        assert pictures[0].image.dtype == np.uint8
        assert pictures[0].image.shape != items[1].image.shape or (pictures[0].image != items[1].image).any()
    if not name.startswith("noise"):
        assert not sound.any()


def test_places_go_with_the_picture_into_the_portrait_format() -> None:
    image = np.zeros((48, 96, 3), np.uint8)
    image[20:24, 30:34] = 255
    (found,) = degrade([Frame(1, image)], ["portrait"], Voices())
    assert isinstance(found, Frame)
    assert found.image.shape == (PORTRAIT[1], PORTRAIT[0], 3)
    y, x = np.argwhere(found.image[..., 0] > 128).mean(axis=0)
    scale, dx, dy = places(["portrait"], (96, 48))
    assert (x, y) == (pytest.approx(scale * 31.5 + dx, abs=1), pytest.approx(scale * 21.5 + dy, abs=1))


def test_a_report_is_written_row_by_row_and_says_what_was_not_measured(
    recording: str, tmp_path: Path
) -> None:
    scenes, cache, out = tmp_path / "scenes", tmp_path / "rows", tmp_path / "docs" / "perception.md"
    scenes.mkdir()
    out.parent.mkdir()
    shutil.copy(recording, scenes / "seated_1.mp4")
    truth = json.loads(Path(recording).with_suffix(".json").read_text(encoding="utf-8"))
    (scenes / "seated_1.json").write_text(json.dumps(truth | {"kind": "seated"}), encoding="utf-8")
    config = PerceptionReportConfig(
        scenes=scenes, cache=cache, out=out, findings=tmp_path / "none.md", seconds=5.0, compose=False
    )
    first = replace(config, rows=("seated", "noise_0db"))
    write_report(first)
    text = out.read_text(encoding="utf-8")
    assert "| id switches, without crossings | ≤ 0 | 0 | so far | 1 scene, 0.1 minutes |" in text
    assert "| CPU-ms an image, one person | ≤ 12 | – | not measured |" in text
    assert "| crossing | two of them change places" in text
    assert "at most 5 s: a quick look" in text
    assert {path.name for path in out.with_suffix("").iterdir()} == {"speaking.png", "ids.png"}
    # What is measured already is not measured again.
    stamps = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert stamps.keys() == {"seated.json", "noise_0db.json"}
    write_report(first)
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == stamps
    assert out.read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="no row 'fog'"):
        replace(config, rows=("fog",))


def test_targets_are_met_or_not() -> None:
    extent = {"scene_names": ["a", "b"], "seconds": 120.0}
    found = {
        "seated": extent | {"active_speaker_ap": 0.96, "id_switches": 1},
        "still": extent | {"still_jitter_px": None},
    }
    text = targets(found)
    assert "| active-speaker AP | ≥ 0.95 | 0.960 | yes | 2 scenes, 2.0 minutes |" in text
    assert "| id switches, without crossings | ≤ 0 | 1 | **no** | 2 scenes, 2.0 minutes |" in text
    assert "| jitter of still faces, px at 640 × 480 | ≤ 0.4 | – | not measured |" in text
