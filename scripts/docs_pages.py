"""Pages of the documentation that are made from the source: a hook of MkDocs, see mkdocs.yml.

Tables of topics, messages, parameters and commands come from what the program itself reads, so that they
cannot disagree with it. Model cards become pages, and links that leave docs/ for other files of the
repository lead to those pages or become plain text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from hmgen_ros.cli import COMMANDS
from hmgen_ros.nodes.interfaces import Interface, NodeInterfaces, load_interfaces
from hmgen_ros.nodes.parameters import CHANGES

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = ROOT / "hmgen_ros/nodes/parameters"
#: Files of the repository outside docs/ that become pages: pattern, and folder of the pages.
CARDS = (("models/*.md", "models"), ("recordings/README.md", "recordings"), ("SECURITY.md", "."))
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the cards."""
    pages = {
        "reference/topics.md": topics_page(load_interfaces()),
        "reference/messages.md": messages_page(),
        "reference/parameters.md": parameters_page(),
        "reference/commands.md": commands_page(),
    }
    for path, page in card_pages().items():
        pages[page] = path.read_text(encoding="utf-8")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files that are no pages into plain text."""
    return relinked(markdown, page.file.src_uri)


def card_pages() -> dict[Path, str]:
    """Path of a file of the repository to the name of its page."""
    return {
        path: os.path.normpath(f"{folder}/{path.name}")
        for pattern, folder in CARDS
        for path in sorted(ROOT.glob(pattern))
    }


def relinked(markdown: str, page: str) -> str:
    """The text of a page with links that work on the site.

    Args:
        markdown: as in the repository.
        page: name of the page below docs/.
    """
    cards = card_pages()
    sources = {name: path for path, name in cards.items()}
    here = sources.get(page, ROOT / "docs" / page).parent

    def replaced(link: re.Match[str]) -> str:
        text, target, anchor = link.group(1), link.group(2), link.group(3) or ""
        if re.match(r"[a-z]+:", target):
            return link.group(0)
        path = Path(os.path.normpath(here / target))
        if path in cards:
            name = cards[path]
        elif path.is_relative_to(ROOT / "docs") and path.suffix:
            name = path.relative_to(ROOT / "docs").as_posix()
        else:
            return text
        return f"[{text}]({os.path.relpath(name, Path(page).parent)}{anchor})"

    return _LINK.sub(replaced, markdown)


def topics_page(nodes: list[NodeInterfaces]) -> str:
    """Topics, services and actions of every node."""
    lines = [
        "# Topics, services and actions",
        "",
        "Names are relative unless they begin with `/`, so that namespaces and remapping work; `~/` is the "
        "node's own. Stamps are those of the source. Besides these every node has the services of parameters "
        "and of the lifecycle, and publishes `/diagnostics` once a second.",
    ]
    for node in nodes:
        lines += ["", f"## {node.node}", "", node.text]
        for title, entries in (
            ("Subscribes", node.subscribes),
            ("Publishes", node.publishes),
            ("Services", node.services),
            ("Actions", node.actions),
        ):
            lines += _interface_table(title, entries)
    return "\n".join(lines) + "\n"


def _interface_table(title: str, entries: tuple[Interface, ...]) -> Iterator[str]:
    if not entries:
        return
    yield from ("", f"| {title} | type | rate | only with | |", "|---|---|---|---|---|")
    for one in entries:
        package, _, kind = one.type.split("/")
        shown = f"[{kind}](messages.md#{kind.lower()})" if package == "hmgen_ros" else one.type
        yield f"| `{one.name}` | {shown} | {one.rate} | {one.when} | {one.text} |"


def messages_page() -> str:
    """Every message, service and action as it is defined."""
    lines = ["# Messages, services and actions"]
    for kind in ("msg", "srv", "action"):
        for path in sorted((ROOT / kind).glob(f"*.{kind}")):
            lines += ["", f"## {path.stem}", "", f"`hmgen_ros/{kind}/{path.stem}`", "", "```"]
            lines += [path.read_text(encoding="utf-8").rstrip(), "```"]
    return "\n".join(lines) + "\n"


def parameters_page() -> str:
    """Every parameter of every node."""
    lines = [
        "# Parameters",
        "",
        "All can be set at the start: in a parameter file or by `-p name:=value`. Later, `ros2 param set` is "
        "refused, with the reason, where a value is out of range or does not go together with others, and "
        "where the node is in another state than the column *set* says:",
        "",
        *(f"- *{change}*: {text}" for change, text in CHANGES.items()),
        "",
        "What is set takes effect as a whole between two ticks. What only goes together is set by the "
        "service `set_parameters_atomically`, or while the node is unconfigured, where any order will do.",
    ]
    # Those that all nodes have come last.
    for path in sorted(PARAMETERS.glob("*.yaml"), key=lambda p: (p.stem == "common", p.stem)):
        title = "All nodes" if path.stem == "common" else path.stem
        lines += [
            "",
            f"## {title}",
            "",
            "| parameter | type | default | range | set | |",
            "|---|---|---|---|---|---|",
        ]
        for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            lines.append(_parameter_row(name, entry))
    return "\n".join(lines) + "\n"


def _parameter_row(name: str, entry: dict[str, Any]) -> str:
    choices = ", ".join(f"`{choice}`" for choice in entry.get("choices", ()))
    low, high = entry.get("minimum", ""), entry.get("maximum", "")
    bounds = choices or (f"{low} … {high}" if (low, high) != ("", "") else "")
    default = entry["default"] if entry["default"] != "" else "empty"
    text = " ".join(entry["description"].split())
    return f"| `{name}` | {entry['type']} | {default} | {bounds} | {entry['change']} | {text} |"


def commands_page() -> str:
    """Every subcommand of ``hmgen`` with its examples."""
    lines = ["# Commands", "", "`hmgen COMMAND --help` tells the options."]
    for name, command in COMMANDS.items():
        lines += ["", f"## hmgen {name}", "", command.help]
        examples = re.sub(r"^examples?: ", "", command.examples)
        if examples:
            lines += ["", "```", *re.split(r"\s*\|\s*(?=hmgen )", examples), "```"]
    return "\n".join(lines) + "\n"
