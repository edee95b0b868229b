"""docs/wire.md and its example say what the codec does."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import cbor2
import pytest

from replica import hello, wire_cbor
from replica.core import node, quorum
from replica.wire import LAYOUTS, WireLimits, decode
from replica.wire_columns import Field
from statemachine import command

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "wire.md").read_text()
EXAMPLE_FILE = ROOT / "docs" / "examples" / "websocket_client.py"
EXAMPLE = EXAMPLE_FILE.read_text()
EXCHANGE = re.findall(r"^([012]) ([→←]) (\[.*\])$", TEXT, re.MULTILINE)


def table(first_column: str) -> list[list[str]]:
    """The rows of the table whose first column has this name."""
    _, _, below = TEXT.partition(f"\n| {first_column} |")
    rows = below.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def from_notation(text: str) -> Any:
    """Read CBOR's diagnostic notation, as far as the page uses it."""
    text = re.sub(r"(h?)'([^']*)'", lambda found: repr(bytes.fromhex(found[2]) if found[1] else found[2].encode()), text)
    return ast.literal_eval(re.sub(r"\b(true|false|null)\b", lambda found: {"true": "True", "false": "False", "null": "None"}[found[1]], text))


def test_every_message_of_clients_is_documented_with_its_fields() -> None:
    documented = {(int(tag), name.strip("`")): re.findall(r"`(\w+)` (\w+)", fields) for tag, name, fields in table("tag")}
    assert documented == {
        (layout.tag, layout.name): [(name, field.name.lower()) for name, field in layout.fields.items()]
        for layout in LAYOUTS
        if 0 < layout.tag < 20 or layout.tag == 33
    }


def test_every_field_of_clients_is_documented_in_the_codec_s_words() -> None:
    of_replicas = {Field.SYSTEM, Field.ENTRIES, Field.RECORD, Field.LEVELS, Field.PLAIN}
    assert {name: text for name, text in table("field")} == {field.name.lower(): field.value for field in set(Field) - of_replicas}  # noqa: C416


def test_kinds_refusals_and_reasons_are_documented() -> None:
    assert [row[:2] for row in table("kind")[:4]] == [
        [str(command.PUT), "put"],
        [str(command.DELETE), "delete"],
        [str(command.CAS_VALUE), "cas on a value"],
        [str(command.CAS_VERSION), "cas on a version"],
    ]
    assert table("kind")[4][0] == f"+ {command.CAUSAL}"
    assert [int(row[0]) for row in table("refusal")] == sorted(node.REFUSALS)
    assert {row[0].strip("`"): row[1] for row in table("reason")} == wire_cbor.REASONS
    assert "16,384 rows" in TEXT
    assert "1,024 sections" in TEXT
    assert WireLimits(16_384, 1_024) == WireLimits()


def test_the_hello_is_documented() -> None:
    client = hello.Hello(cluster_id="", mode="", role="client", id=0, incarnation=0, config=0, voters=())
    assert cbor2.loads(hello.encode_hello(client)) == ["triskele", 3, "", "", "client", 0, 0, 0, []]
    fields = ", ".join(client.__attrs_attrs__[at].name for at in range(7))
    assert f'["triskele", version, {fields}]' in TEXT
    assert all(f"`{word}`" in TEXT for word in re.findall(r"``(\w+_\w+)``", hello.HelloError.__doc__ or ""))


@pytest.mark.parametrize(("replica", "way", "notation"), EXCHANGE, ids=[line[2][:40] for line in EXCHANGE])
def test_the_exchange_is_made_of_payloads(replica: str, way: str, notation: str) -> None:
    incarnation, messages = decode(cbor2.dumps(from_notation(notation)), limits=WireLimits())
    assert incarnation == (0 if way == "→" else 1_700_000_000 + int(replica))
    [layout] = [layout for layout in LAYOUTS if layout.message is type(messages[0])]
    assert layout.tag <= 10 if way == "→" else 11 <= layout.tag < 20


def test_the_exchange_is_not_empty() -> None:
    assert len(EXCHANGE) == 25


def test_the_example_imports_nothing_of_ours() -> None:
    imports = [item for item in ast.walk(ast.parse(EXAMPLE)) if isinstance(item, ast.Import | ast.ImportFrom)]
    names = {alias.name for item in imports if isinstance(item, ast.Import) for alias in item.names}
    names |= {str(item.module) for item in imports if isinstance(item, ast.ImportFrom)}
    assert names == {"__future__", "collections.abc", "secrets", "sys", "typing", "cbor2", "trio", "trio_websocket"}


def test_the_example_knows_the_tags() -> None:
    words = {"".join(f"_{letter}" if letter.isupper() else letter for letter in layout.name).strip("_").upper(): layout.tag for layout in LAYOUTS}
    assigned = [item for item in ast.parse(EXAMPLE).body if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Tuple)]
    constants: dict[str, int] = {}
    for item in assigned:
        target = item.targets[0]
        assert isinstance(target, ast.Tuple)
        constants.update(zip([ast.unparse(name) for name in target.elts], ast.literal_eval(item.value), strict=True))
    assert {name: tag for name, tag in constants.items() if name in words} == {name: words[name] for name in constants if name in words}
    assert len([name for name in constants if name in words]) == 18
    assert (constants["PUT"], constants["CAUSAL"]) == (command.PUT, command.CAUSAL)


@pytest.mark.parametrize("voters", range(1, 16))
def test_the_example_and_the_page_count_as_replicas_do_with_any_number_of_voters(voters: int) -> None:
    client = runpy.run_path(str(EXAMPLE_FILE))["Client"]()
    client.voters = list(range(voters))
    assert client.fast_others() == quorum.fast_quorum(voters) - 1
    told = {int(of): int(enough) for enough, of in re.findall(r"(\d) of (\d)", TEXT)}
    assert told.get(voters, quorum.fast_quorum(voters)) == quorum.fast_quorum(voters)
    assert sorted(told) == [1, 2, 3, 4, 5, 6, 7]
