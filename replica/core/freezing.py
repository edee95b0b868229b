"""Canonical forms of states, for searches that must recognise a state they have seen."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

Frozen = object
"""Nested tuples of plain values."""

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_SEQUENCES = frozenset({list, tuple, deque})
_fields: dict[type, tuple[str, ...]] = {}  # {attrs class: its fields}


def freeze(value: object, above: tuple[int, ...] = ()) -> Frozen:
    """Return ``value`` as nested tuples; dicts are sorted by their keys' forms, functions are left out, the way back up is only named.

    Args:
        value: the state.
        above: identities of the objects that hold it, against cycles, or that are frozen elsewhere.

    Raises:
        TypeError: a kind of object that no state may hold (a set, for its order).
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _SEQUENCES:
        return tuple([item if type(item) in _PLAIN else freeze(item, above) for item in value])  # type: ignore[attr-defined]
    if kind is dict:
        pairs = [(freeze(key), freeze(item, above)) for key, item in value.items()]  # type: ignore[attr-defined]
        try:
            return tuple(sorted(pairs, key=_first))
        except TypeError:  # keys of several kinds
            return tuple(sorted(pairs, key=_first_in_words))
    if isinstance(value, Enum):
        return str(value)
    names = _fields.get(kind)
    if names is None:
        if not attrs.has(kind):
            return _own_form(value)
        names = _fields[kind] = tuple(field.name for field in attrs.fields(kind))
    if id(value) in above:
        return kind.__name__
    inside = (*above, id(value))
    items = [getattr(value, name) for name in names]
    return (kind.__name__, *[freeze(item, inside) for item in items if type(item) in _PLAIN or not callable(item) or attrs.has(type(item))])


def freeze_parts(parts: Sequence[object]) -> Frozen:
    """Return the form of a state that has parts which know each other: each is told once, and only named wherever another one holds it."""
    known = {id(part) for part in parts}
    return tuple(freeze(part, tuple(known - {id(part)})) for part in parts)


def _first(pair: tuple[Any, object]) -> Any:
    return pair[0]


def _first_in_words(pair: tuple[object, object]) -> str:
    return repr(pair[0])


def _own_form(value: object) -> Frozen:
    own = getattr(value, "freeze", None)
    if own is not None:
        return own()
    message = f"no canonical form for {type(value).__name__}"
    raise TypeError(message)
