from __future__ import annotations

import pytest

from loadgen.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("plain, naïve", "plain, naïve"), ("a\x1b[2Jb", "a\\x1b[2Jb"), ("\ud800", "\\ud800"), ("a\nb", "a\\nb"), ("a\u2028b", "a\\u2028b")],
)
def test_what_cannot_be_printed_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_signs_may_be_kept() -> None:
    assert printable("a\n\tb", keep="\n") == "a\n\\tb"
