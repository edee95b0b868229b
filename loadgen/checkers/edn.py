"""EDN, as much of it as recorded histories use: maps, vectors, lists, sets, strings, keywords, symbols, numbers, nil, true and false.

Small and of our own: the readers on the package index are unmaintained, and what histories need is a page. Keywords and symbols become
``Keyword`` (text that remembers its colon); tagged values keep the value only, since records of Jepsen's are printed as tagged maps.

Source: the format's own description, github.com/edn-format/edn.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN: Final = re.compile(
    r"""(?P<skip>[\s,]+|;[^\n]*)
    |(?P<open>\#\{|[\[({])
    |(?P<close>[\])}])
    |"(?P<text>(?:[^"\\]|\\.)*)"
    |(?P<discard>\#_)
    |(?P<tag>\#[A-Za-z][^\s,\[\](){}"]*)
    |\\(?P<char>\S)
    |(?P<word>[^\s,\[\](){}"\#;][^\s,\[\](){}";]*)""",
    re.VERBOSE | re.DOTALL,
)
DIGITS_MAX: Final = 1000
DEPTH_MAX: Final = 100
"""No history comes near; Python refuses to read much longer numbers, and to print values much deeper."""

_CLOSING: Final = {"#{": "}", "{": "}", "[": "]", "(": ")"}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "b": "\b", "f": "\f"}
_CONSTANTS: Final = {"nil": None, "true": True, "false": False}


class Keyword(str):
    """``:name``, or a bare symbol; equal to the text of its name."""

    __slots__ = ()


class BadEdn(ValueError):
    """Not EDN.

    Args:
        line: from 1.
        why: in words.
    """

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


def forms(text: str) -> Iterator[tuple[int, Any]]:
    """Yield each top-level value with the line it begins in.

    Raises:
        BadEdn: something is no EDN, or is not closed.
    """
    stack: list[tuple[str, int, list[Any], list[int]]] = []  # open brackets: which, line, their values, places of discards
    at, line = 0, 1
    top_discards: list[int] = []
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise BadEdn(line, f"{text[at : at + 20]!r} is no EDN")
        at, group, token = found.end(), found.lastgroup, found.group()
        started = line
        line += token.count("\n")
        discards = stack[-1][3] if stack else top_discards
        if group in {"skip", "tag"}:
            continue
        if group == "discard":
            discards.append(len(stack[-1][2]) if stack else 0)
            continue
        if group == "open":
            if len(stack) == DEPTH_MAX:
                raise BadEdn(line, f"more than {DEPTH_MAX} brackets inside each other")
            stack.append((token, started, [], []))
            continue
        if group == "close":
            if not stack or _CLOSING[stack[-1][0]] != token:
                raise BadEdn(line, f"{token!r} closes nothing")
            opened, started, items, _ = stack.pop()
            value = _collected(opened, items, started)
            discards = stack[-1][3] if stack else top_discards
        else:
            value = _atom(group, found, started)
        if discards:
            discards.pop()
        elif stack:
            stack[-1][2].append(value)
        else:
            yield started, value
    if stack:
        raise BadEdn(stack[-1][1], f"{stack[-1][0]!r} is never closed")


def _collected(opened: str, items: list[Any], line: int) -> Any:
    if opened == "{":
        if len(items) % 2:
            raise BadEdn(line, "a map with a key and no value")
        try:
            return dict(zip(items[::2], items[1::2], strict=True))
        except TypeError:
            raise BadEdn(line, "a map's key is a collection") from None
    return items


def _atom(group: str | None, found: re.Match[str], line: int) -> Any:
    if group == "text":
        try:
            return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescaped, found["text"], flags=re.DOTALL)
        except KeyError as error:
            raise BadEdn(line, f"\\{error.args[0]} is no escape") from None
    if group == "char":
        return found["char"]
    word = found["word"]
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if word.startswith(":"):
        return Keyword(word[1:])
    if re.fullmatch(r"[+-]?\d+[NM]?", word):
        if len(word) > DIGITS_MAX:
            raise BadEdn(line, f"a number of more than {DIGITS_MAX} digits")
        return int(word.rstrip("NM"))
    try:
        return float(word.rstrip("M"))
    except ValueError:
        return Keyword(word)


def _unescaped(found: re.Match[str]) -> str:
    escape = found[1]
    return chr(int(escape[1:], 16)) if len(escape) > 1 else _ESCAPES[escape]


def written(value: Any) -> str:
    """Return a value as EDN; keys of dictionaries are written as keywords."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Keyword):
        return f":{value}"
    if isinstance(value, str):
        return '"' + re.sub(r'[\\"\n\t\r\x00-\x1f]', _escaped, value) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f":{key} {written(item)}" for key, item in value.items()) + "}"
    return "[" + " ".join(map(written, value)) + "]"


def _escaped(found: re.Match[str]) -> str:
    plain = found[0]
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}.get(plain)
    return short or f"\\u{ord(plain):04x}"
