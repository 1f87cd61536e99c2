"""Files of results: refused before the work, whole or not at all afterwards, and strict JSON."""

import json
import math
import os
from pathlib import Path

import pytest

from hmgen_ros import cli
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path, text in (
        (tmp_path, "folder"),
        (Path("/proc/nope/x.json"), "/proc/nope/x.json"),
        (tmp_path / "file" / "x.json", "x.json"),
    ):
        with pytest.raises(ValueError, match=text):
            check_writable(path)


def test_checking_changes_nothing_but_makes_the_folder(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(tmp_path / "new" / "x.json")
    assert list((tmp_path / "new").iterdir()) == []
    old = tmp_path / "old.json"
    old.write_text("old", encoding="utf-8")
    check_writable(old)
    assert old.read_text(encoding="utf-8") == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old.json"]


def test_results_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_result(path, {"a": 1.5})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1.5}
    with pytest.raises(ValueError, match="JSON"):
        write_result(path, {"a": math.nan})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1.5}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old", encoding="utf-8")
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "real.json")
    write_result(link, {"a": 1})
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.json").read_text(encoding="utf-8")) == {"a": 1}
    check_writable(Path(os.devnull))
    write_result(Path(os.devnull), {"a": 1})
    assert Path(os.devnull).is_char_device()


def test_what_is_no_number_is_none() -> None:
    found = without_nan({"a": [math.nan, 1.23456, (math.inf, 2)], "b": {"c": -math.inf}, "d": "x"}, 3)
    assert found == {"a": [None, 1.235, [None, 2]], "b": {"c": None}, "d": "x"}
    assert without_nan(1.23456) == 1.23456


@pytest.mark.parametrize(
    "arguments",
    [
        "motion --data .",
        "sync --data .",
        "social --data .",
        "perception --scenes .",
        "landmarks --images .",
        "bag .",
    ],
)
def test_every_evaluation_refuses_before_its_work(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", *arguments.split(), "--json", "/proc/nope/x.json"])
    assert ended.value.code == 2
    # The folder is empty, too, which would be told had the work begun.
    assert "cannot write /proc/nope/x.json" in capsys.readouterr().err
