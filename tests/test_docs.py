"""What the documentation says of the code is true: messages, settings, targets, links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import attrs

from replica.config import SETTINGS
from replica.core import messages, peer_messages
from replica.wire import LAYOUTS
from tools.settings_table import with_settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")]
TARGETS = {"demo", "test", "prove", "lint", "types", "bench", "experiments", "clean"}
UNTAGGED = "-"


def table(path: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    _, found, below = path.read_text().partition(f"\n{heading}\n")
    assert found, f"{path.name} has no heading {heading!r}"
    rows = re.findall(r"(?:^\|.*\|\n)+", below, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def code_words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def message_table() -> dict[str, tuple[str, list[str]]]:
    """Return {message: (tag as written, fields)} as documented."""
    return {code_words(name)[0]: (tag, code_words(fields)) for tag, name, _, fields, _ in table(DOCS / "protocol.md", "### Messages")}


def test_the_message_table_names_every_message_and_field() -> None:
    modules = {messages.__name__, peer_messages.__name__}
    classes = [value for value in vars(messages).values() if isinstance(value, type) and attrs.has(value) and value.__module__ in modules]
    documented = {name: fields for name, (_, fields) in message_table().items()}
    assert documented == {cls.__name__: [field.name for field in attrs.fields(cls)] for cls in classes}


def test_tags_are_unique_and_those_that_are_documented() -> None:
    """The table is the record: a tag that was ever released keeps its meaning, so whoever changes one has to change the documentation too."""
    tags = [layout.tag for layout in LAYOUTS if layout.tag]
    assert len(set(tags)) == len(tags)
    documented = {name: tag for name, (tag, _) in message_table().items()}
    assert documented == {layout.name: str(layout.tag) if layout.tag else UNTAGGED for layout in LAYOUTS}


def test_the_settings_table_is_the_code_s() -> None:
    text = (DOCS / "operations.md").read_text()
    assert with_settings(text) == text, "run: python tools/settings_table.py"
    assert all(f"`{name}`" in text for name in SETTINGS)


def test_links_lead_somewhere() -> None:
    links = [(path, target) for path in DOCUMENTS for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())]
    relative = [(path, target) for path, target in links if "://" not in target]
    assert len(relative) > 10
    assert [f"{path.name}: {target}" for path, target in relative if not (path.parent / target).exists()] == []


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "index.md").read_text()
    assert [path.name for path in DOCS.glob("*.md") if path.name != "index.md" and f"]({path.name})" not in index] == []


def test_the_promised_targets_are_listed_with_a_line_of_help() -> None:
    listing = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    helps = dict(re.findall(r"^\s+make (\w+)\s+(\S.*)$", listing, re.MULTILINE))
    assert TARGETS - set(helps) == set()


def test_a_change_speaks_to_operators() -> None:
    """Fragments are named NUMBER-what.md; CHANGELOG.md is made of them at a release."""
    fragments = sorted((ROOT / "changelog.d").iterdir())
    assert [path.name for path in fragments if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)] == []
    assert [path.name for path in fragments if not path.read_text().strip()] == []
