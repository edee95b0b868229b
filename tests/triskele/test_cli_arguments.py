from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given, strategies

from triskele.cli.arguments import bytes_brief, bytes_json, bytes_text, bytes_type, path_type, read_bytes


@pytest.mark.parametrize(
    ("text", "data"),
    [("", b""), ("k", b"k"), ("ü", "ü".encode()), ("hex:00Ff", b"\x00\xff"), ("text:hex:00", b"hex:00"), ("text:@f", b"@f"), ("a:b", b"a:b")],
)
def test_keys_and_values_are_text_or_hexadecimal(text: str, data: bytes) -> None:
    assert read_bytes(text) == data


def test_a_file_can_be_a_value(tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"\0\n")
    assert read_bytes(f"@{tmp_path / 'value'}") == b"\0\n"


@pytest.mark.parametrize("text", ["hex:0", "hex:xy", "@/none/such", "@"])
def test_what_is_no_key_or_value_is_named(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        bytes_type(text)
    assert str(caught.value).startswith(f"{text}: must be")


@given(strategies.binary() | strategies.sampled_from([b"hex:", b"@x", b"text:", b"text:hex:"]))
def test_what_is_printed_can_be_typed(data: bytes) -> None:
    assert read_bytes(bytes_text(data)) == data
    assert bytes_text(data).isprintable()


def test_json_has_text_where_it_is_text() -> None:
    assert [bytes_json(b"k"), bytes_json(b"\xff"), bytes_json(None)] == ["k", {"hex": "ff"}, None]


def test_an_empty_path_is_refused_before_it_becomes_the_present_folder() -> None:
    assert path_type("a/b") == Path("a/b")
    with pytest.raises(argparse.ArgumentTypeError, match="must be a path"):
        path_type("")


def test_a_message_has_the_beginning_of_a_long_key_and_its_length() -> None:
    assert bytes_brief(b"greeting") == "greeting"
    assert bytes_brief(b"k" * 5000) == "k" * 60 + "… (5,000 bytes)"
    assert bytes_brief(bytes(5000)) == "hex:" + "0" * 56 + "… (5,000 bytes)"
