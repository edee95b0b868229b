from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.checkers.edn import BadEdn, Keyword, forms, written


def read(text: str) -> list[Any]:
    return [value for _, value in forms(text)]


def test_all_that_histories_use_is_read() -> None:
    text = '{:process 0, :type :ok, :value [1 -2 3.5 nil true "a\\n\\"b\\u00e9"]} ; done\n#{1 2} (a b) #inst "2020" 7N \\c'
    assert read(text) == [
        {"process": 0, "type": "ok", "value": [1, -2, 3.5, None, True, 'a\n"bé']}, [1, 2], ["a", "b"], "2020", 7, "c",
    ]  # fmt: skip


def test_keywords_are_told_from_text() -> None:
    keyword, text = read(':ok "ok"')
    assert (isinstance(keyword, Keyword), isinstance(text, Keyword)) == (True, False)


def test_what_is_discarded_is_not_there() -> None:
    assert read("[1 #_2 3 #_[4 5]] #_{:a 1} 6") == [[1, 3], 6]


def test_each_value_has_the_line_it_begins_in() -> None:
    assert [line for line, _ in forms('{:a\n1}\n\n"x\ny" 2')] == [1, 4, 5]


@pytest.mark.parametrize(("text", "line"), [("{:a 1", 1), ("\n]", 2), ("{:a}", 1), ('\n\n"open', 3), ("[1 2)", 1), ("{[1] 2}", 1), ('"\\q"', 1)])
def test_what_is_no_edn_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(BadEdn) as refused:
        read(text)
    assert refused.value.line == line


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"\A[a-z]{1,5}\Z"), inner, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert read(written(value)) == [value]
