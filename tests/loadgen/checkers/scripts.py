"""Histories written by hand, a line for each operation, and tiny random ones with every possible order tried.

``a put x 1`` is one operation from begin to end; ``name> a get x`` begins one, ``name< = 1`` ends it. Behind the process may stand ``causal``.
Answers: ``= VALUE`` (``-``: absent) with ``@VERSION`` if told, ``ok``, ``unknown``, ``fail``, ``refused``; scans: ``= x:1 y:2:VERSION``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadgen.checkers.causality import Causality
from loadgen.checkers.pairing import paired
from loadgen.checkers.sources import sources_of

if TYPE_CHECKING:
    from loadgen.checkers.operation import History

Event = dict[str, Any]


def value_of(word: str) -> str | None:
    return None if word == "-" else word


def invocation(words: list[str], number: int) -> Event:
    process, *words = words
    causal = words[0] == "causal"
    op, *rest = words[1:] if causal else words
    event: Event = {"type": "invoke", "process": process, "id": number, "op": op, "key": rest[0], "consistency": "causal" if causal else "strong"}
    if op in {"put", "append"}:
        event["value"] = rest[1]
    elif op == "cas":
        event["value"] = rest[2]
        event |= {"version": int(rest[1][1:])} if rest[1].startswith("@") else {"expected": value_of(rest[1])}
    elif op == "scan":
        event |= {"end": value_of(rest[1]), "limit": int(rest[2])}
    return event


def response(invoked: Event, words: list[str]) -> Event:
    event = {**invoked, "type": "ok"}
    if not words or words[0] == "ok":
        return event
    if words[0] != "=":
        return event | {"type": "fail", "swapped": False} if words[0] == "refused" else event | {"type": words[0]}
    if invoked["op"] == "scan":
        rows = [word.split(":") for word in words[1:] if word != "-"]
        return event | {"value": [[key, value, *map(int, version)] for key, value, *version in rows]}
    version = next((int(word[1:]) for word in words[2:] if word.startswith("@")), 0)
    return event | {"value": value_of(words[1]), "version": version}


def events(text: str) -> list[Event]:
    found: list[Event] = []
    begun: dict[str, Event] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        first, *words = line.split()
        if first.endswith(">"):
            begun[first[:-1]] = invocation(words, len(found))
            found.append(begun[first[:-1]])
        elif first.endswith("<"):
            found.append(response(begun[first[:-1]], words))
        else:
            words = [first, *words]
            answers = [place for place, word in enumerate(words) if word in {"=", "ok", "unknown", "fail", "refused"}]
            at = answers[0] if answers else len(words)
            invoked = invocation(words[:at], len(found))
            found += [invoked, response(invoked, words[at:])]
    return found


def history(text: str) -> History:
    return paired(events(text))


def causality(text: str) -> Causality:
    made = history(text)
    return Causality(made, sources_of(made))
