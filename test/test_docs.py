"""The documentation builds without a broken link, and its tables hold what the program has."""

from __future__ import annotations

import os
import re
import sys
from html import escape
from pathlib import Path

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

from hmgen_ros.cli import COMMANDS
from hmgen_ros.nodes.interfaces import load_interfaces

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import docs_pages  # noqa: E402


def test_the_site_builds_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    build(config)
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in home
    topics = (tmp_path / "reference/topics.html").read_text(encoding="utf-8")
    for node in load_interfaces():
        for one in (*node.publishes, *node.subscribes, *node.services, *node.actions):
            assert escape(one.name) in topics
    # A card of a model that another page links to.
    assert (tmp_path / "models/group_attention.html").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/train.md"])
def test_training_reads_the_folder_that_was_made_before(page: str) -> None:
    """Without --data it would read what HMGEN_DATA names, or nothing."""
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = re.findall(r"hmgen train \S+(?: --data data)?", text)
    assert len(commands) >= 5
    assert [command for command in commands if not command.endswith(" --data data")] == []


def test_every_parameter_message_and_command_is_in_the_reference() -> None:
    parameters = docs_pages.parameters_page()
    for path in docs_pages.PARAMETERS.glob("*.yaml"):
        for name in yaml.safe_load(path.read_text(encoding="utf-8")):
            assert f"| `{name}` |" in parameters
    messages = docs_pages.messages_page()
    for kind in ("msg", "srv", "action"):
        assert all(f"## {path.stem}\n" in messages for path in (ROOT / kind).glob(f"*.{kind}"))
    commands = docs_pages.commands_page()
    assert all(f"## hmgen {name}\n" in commands for name in COMMANDS)


@pytest.mark.parametrize(
    ("page", "markdown", "expected"),
    [
        ("results/suhmo.md", "[s](social.md)", "[s](social.md)"),
        ("results/suhmo.md", "[m](../../models/group_attention.md)", "[m](../models/group_attention.md)"),
        ("concepts.md", "[m](../models/group_attention.md#data)", "[m](models/group_attention.md#data)"),
        ("models/group_attention.md", "[r](../docs/results/social.md)", "[r](../results/social.md)"),
        ("SECURITY.md", "[p](config/sros2_policy.xml)", "p"),
        ("concepts.md", "[p](../msg/People.msg)", "p"),
        ("concepts.md", "[w](https://www.ros.org/x)", "[w](https://www.ros.org/x)"),
        ("concepts.md", "![i](images/a.png)", "![i](images/a.png)"),
    ],
)
def test_links_lead_to_pages_or_become_text(page: str, markdown: str, expected: str) -> None:
    assert docs_pages.relinked(markdown, page).replace(os.sep, "/") == expected
