"""The reader of AMI's NXT XML on annotations made here, and on the original of four meetings."""

import io
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hmgen_ros.data.ami import CorpusError, data_directory, meetings_of, read_index
from hmgen_ros.data.ami_conversion import RasterConfig, Written, write_rasters
from hmgen_ros.data.ami_nxt import SpeechRules, raster, read_corpus_meetings
from hmgen_ros.types import UNKNOWN_MASK, Action, action_mask

MEETINGS = """<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>
<nite:root nite:id="meet.00" xmlns:nite="http://nite.sourceforge.net/">
  <meeting nite:id="m2" observation="IS1000b" duration="20" visibility="unseen">
    <speaker nite:id="s3" nxt_agent="A" global_name="MIO016" role="ID"/>
  </meeting>
  <meeting nite:id="m1" observation="ES2002a" duration="10.02" visibility="seen" seen_type="training">
    <speaker nite:id="s2" nxt_agent="B" global_name="FEE005" role="PM"/>
    <speaker nite:id="s1" nxt_agent="A" global_name="MEE006"/>
  </meeting>
  <meeting nite:id="m3" observation="EN2001a" duration="30"><speaker nite:id="s4" nxt_agent="A"/></meeting>
</nite:root>
"""


def write(path: Path, *elements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(elements)
    path.write_text(
        f'<nite:root nite:id="x" xmlns:nite="http://nite.sourceforge.net/">\n{lines}\n</nite:root>\n'
    )


def timed(tag: str, start: float, end: float, **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<{tag} starttime="{start}" endtime="{end}"{more}/>'


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    """Annotations of two meetings; the third that is listed is not there."""
    folder = tmp_path / "xml"
    (folder / "corpusResources").mkdir(parents=True)
    (folder / "corpusResources" / "meetings.xml").write_text(MEETINGS)
    write(folder / "words/ES2002a.A.words.xml", timed("w", 1.0, 2.0))
    write(folder / "words/ES2002a.B.words.xml")
    write(folder / "words/IS1000b.A.words.xml", timed("w", 0.0, 20.0))
    return folder


def fields_of(xml: Path, rules: SpeechRules | None = None) -> dict[str, np.ndarray]:
    return raster(xml, read_corpus_meetings(xml)[1], rules or SpeechRules())


def runs(column: np.ndarray) -> list[tuple[int, int, int]]:
    """Start, end and code of every run that is not 0."""
    edges = np.flatnonzero(np.diff(column.astype(int), prepend=-1, append=-1))
    return [(int(i), int(j), int(column[i])) for i, j in pairwise(edges) if column[i]]


def test_the_corpus_resources_are_read(xml: Path) -> None:
    found = read_corpus_meetings(xml)
    assert [(m.name, m.duration_s, m.split) for m in found] == [
        ("EN2001a", 30.0, None),
        ("ES2002a", 10.02, "training"),
        ("IS1000b", 20.0, "unseen"),
    ]
    assert found[1].speakers == {
        "A": {"name": "MEE006", "role": None},
        "B": {"name": "FEE005", "role": "PM"},
    }


def test_words_become_speech(xml: Path) -> None:
    write(
        xml / "words/ES2002a.B.words.xml",
        timed("w", 0.5, 0.9),
        timed("w", 1.15, 1.4),  # 0.25 s after: filled
        timed("w", 1.4, 1.4, punc="true"),
        timed("w", 1.66, 1.9),  # 0.26 s after: not
        '<w punc="true">.</w>',
        timed("vocalsound", 3.0, 4.0, type="cough"),
        timed("gap", 5.0, 6.0),
        timed("w", 9.9, 99.0),  # longer than the meeting
    )
    fields = fields_of(xml)
    assert list(fields) == ["speak", "laugh"]
    assert fields["speak"].shape == (250, 2), "10.02 s are 250.5 ticks, rounded to even"
    assert fields["speak"].dtype == np.uint8
    # 0.5 s and 1.66 s are 12.5 and 41.5 ticks: halves go to the even tick.
    assert runs(fields["speak"][:, 1]) == [(12, 35, 1), (42, 48, 1), (248, 250, 1)]
    assert runs(fields["speak"][:, 0]) == [(25, 50, 1)]
    apart = fields_of(xml, SpeechRules(fill_gap_s=0.0))["speak"][:, 1]
    assert runs(apart)[:2] == [(12, 22, 1), (29, 35, 1)]


def test_short_laughs_are_widened(xml: Path) -> None:
    write(
        xml / "words/ES2002a.B.words.xml",
        timed("vocalsound", 0.1, 0.1, type="laugh"),
        timed("vocalsound", 2.0, 2.36, type="laugh"),
        timed("vocalsound", 4.0, 4.4, type="laugh"),
    )
    assert runs(fields_of(xml)["laugh"][:, 1]) == [(0, 8, 1), (45, 64, 1), (100, 110, 1)]


def test_gestures_become_codes(xml: Path) -> None:
    heads = [
        ("off_camera", ""),
        ("no_comm_head", ""),
        ("concord_signal", "nod"),
        ("emphasis_signal", "shake"),
        ("emphasis_signal", ""),
        ("turn_signal", ""),
    ]
    moves = ["sit", "take_notes", "move", "stand_whiteboard", "stand_screen", "other", "dance", "off_camera"]
    hands = ["no_comm_hand", "point_p_ui_RH", "comm_interact_a_LH", "other_comm_hand_BH", "off_camera"]
    write(
        xml / "headGesture/ES2002a.B.head.xml",
        *(
            timed("head", i, i + 1, type=kind, **({"form": form} if form else {}))
            for i, (kind, form) in enumerate(heads)
        ),
    )
    write(
        xml / "movement/ES2002a.A.movement.xml",
        *(timed("movement", i, i + 1, type=kind) for i, kind in enumerate(moves)),
    )
    write(
        xml / "handGesture/ES2002a.A.hand.xml",
        *(timed("hand", i, i + 1, type=kind) for i, kind in enumerate(hands)),
    )
    fields = fields_of(xml)
    assert fields["head"][12:250:25, 1].tolist() == [255, 0, 1, 2, 3, 4, 255, 255, 255, 255]
    assert (fields["head"][:, 0] == 255).all(), "nobody annotated A's head"
    assert fields["move"][12:250:25, 0].tolist() == [0, 1, 2, 3, 3, 4, 4, 255, 255, 255]
    assert fields["hand"][12:250:25, 0].tolist() == [0, 1, 2, 3, 255, 255, 255, 255, 255, 255]


def test_focus_becomes_codes(xml: Path) -> None:
    write(
        xml / "focus/ES2002a.A.foa.xml",
        timed("foa", 0, 1, type="person", role="PM", nxt_agent="B"),
        timed("foa", 1, 2, type="place", place="table"),
        timed("foa", 2, 3, type="place", place="window"),
        timed("foa", 3, 4, type="unspecified"),
        '<foa type="unspecified"/>',
    )
    assert fields_of(xml)["focus"][12:125:25, 0].tolist() == [1, 4, 7, 8, 255]


spans = st.tuples(st.integers(0, 1000), st.integers(0, 300)).map(lambda s: (s[0] / 100, (s[0] + s[1]) / 100))


@settings(deadline=None, max_examples=40)
@given(st.lists(spans, max_size=12))
def test_speech_is_the_words_and_short_gaps(
    tmp_path_factory: pytest.TempPathFactory, words: list[tuple[float, float]]
) -> None:
    folder = tmp_path_factory.mktemp("xml")
    (folder / "corpusResources").mkdir()
    (folder / "corpusResources" / "meetings.xml").write_text(MEETINGS)
    write(folder / "words/ES2002a.A.words.xml", *(timed("w", *span) for span in words))
    heard = fields_of(folder)["speak"][:, 0]
    spoken = np.zeros(250, dtype=bool)
    for start, end in words:
        spoken[round(start * 25) : round(end * 25)] = True
    assert heard[spoken].all(), "every word is speech"
    added = runs((heard == 1) & ~spoken)
    assert all(end - start <= 7 for start, end, _ in added), "only gaps of up to 0.25 s are filled"


def convert(xml: Path, **settings: object) -> tuple[Written, str]:
    out = io.StringIO()
    config = RasterConfig(xml, xml.parent / "out", **settings)  # type: ignore[arg-type]
    return write_rasters(config, Console(file=out, width=300)), out.getvalue()


def test_what_is_written_can_be_read(xml: Path) -> None:
    sit = timed("movement", 0, 10, type="sit")
    for agent in "AB":
        write(xml / f"headGesture/ES2002a.{agent}.head.xml", timed("head", 0, 9, type="no_comm_head"))
        write(xml / f"movement/ES2002a.{agent}.movement.xml", sit)
    written, output = convert(xml)
    assert written == Written(("ES2002a", "IS1000b"), {})
    assert "2 meetings in" in output
    index = read_index(xml.parent / "out")
    assert [(i.name, i.split, i.complete, set(i.people)) for i in index] == [
        ("ES2002a", "train", True, {"MEE006", "FEE005"}),
        ("IS1000b", "test", False, {"MIO016"}),
    ]
    (meeting,) = meetings_of(xml.parent / "out", "train").meetings
    assert meeting.masks.shape == (250, 2)
    assert runs(meeting.masks[:225, 0]) == [(25, 50, action_mask(Action.SPEAKING))]
    assert (meeting.masks[225:] == UNKNOWN_MASK).all()
    header = json.loads((xml.parent / "out" / "index.json").read_text())
    assert (header["hz"], header["agents"], header["unknown"]) == (25, "AB", 255)
    assert header["meetings"][0]["minutes"] == 0.17


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("words/ES2002a.B.words.xml", '<root><w starttime="1"', "is damaged"),
        ("words/ES2002a.B.words.xml", "", "is damaged"),
        ("words/ES2002a.A.words.xml", '<r><w starttime="1" endtime="soon"/></r>', "'soon' is no time"),
        ("words/ES2002a.A.words.xml", '<r><w starttime="nan" endtime="2"/></r>', "'nan' is no time"),
        (
            "movement/ES2002a.A.movement.xml",
            '<r><movement starttime="1" endtime="2"/></r>',
            "lacks the field",
        ),
    ],
)
def test_a_damaged_meeting_is_listed_and_skipped(xml: Path, name: str, text: str, reason: str) -> None:
    (xml / name).parent.mkdir(exist_ok=True)
    (xml / name).write_text(text)
    written, output = convert(xml)
    assert written.meetings == ("IS1000b",)
    assert reason in written.skipped["ES2002a"]
    assert Path(name).name in written.skipped["ES2002a"]
    assert "skipped ES2002a" in output
    assert [i.name for i in read_index(xml.parent / "out")] == ["IS1000b"]
    assert not (xml.parent / "out" / "ES2002a.npz").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "corpusResources/meetings.xml").unlink(), r"missing .*meetings\.xml"),
        (lambda f: (f / "corpusResources/meetings.xml").write_text("<"), r"meetings\.xml is damaged"),
        (
            lambda f: (f / "corpusResources/meetings.xml").write_text(MEETINGS.replace("10.02", "-3")),
            r"meetings\.xml: '-3' is no time",
        ),
        (
            lambda f: (f / "corpusResources/meetings.xml").write_text(MEETINGS.replace("nxt_agent", "a")),
            r"meetings\.xml: a meeting lacks",
        ),
        (lambda f: [path.write_text("") for path in f.glob("words/*")], r"none of 2 meetings"),
        (lambda f: [path.unlink() for path in f.glob("words/*")], r"none of 0 meetings"),
    ],
)
def test_a_damaged_corpus_is_refused(xml: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(xml)
    with pytest.raises(CorpusError, match=message):
        convert(xml)


def test_meetings_can_be_chosen(xml: Path) -> None:
    assert convert(xml, meetings=("IS1000b",))[0].meetings == ("IS1000b",)
    with pytest.raises(CorpusError, match="no EN2001a, XX1; meetings"):
        convert(xml, meetings=("IS1000b", "XX1", "EN2001a"))


def test_bad_rules_are_refused() -> None:
    for name in ("fill_gap_s", "short_laugh_s", "widen_laugh_s"):
        with pytest.raises(ValueError, match=name):
            SpeechRules(**{name: -0.1})


def test_the_original_annotations_give_the_very_same_rasters(tmp_path: Path) -> None:
    try:
        data = data_directory()
    except CorpusError as error:
        pytest.skip(str(error))
    written = write_rasters(RasterConfig(data / "ami_xml", tmp_path), Console(file=io.StringIO()))
    assert written == Written(("ES2008a", "IS1000a", "IS1008a", "TS3005a"), {})
    ours = json.loads((tmp_path / "index.json").read_text())
    theirs = json.loads((data / "ami_25hz" / "index.json").read_text())
    entries = {entry["meeting"]: entry for entry in theirs.pop("meetings")}
    assert ours.pop("meetings") == [entries[name] for name in written.meetings]
    assert ours == theirs
    for name in written.meetings:
        with np.load(tmp_path / f"{name}.npz") as made, np.load(data / "ami_25hz" / f"{name}.npz") as given:
            assert set(made.files) == set(given.files)
            for field in given.files:
                assert np.array_equal(made[field], given[field]), f"{name} {field}"
