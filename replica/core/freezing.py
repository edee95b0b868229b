"""Canonical forms of states, for searches that must recognise a state they have seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

import attrs

Frozen = object
"""Nested tuples of plain values."""


def freeze(value: object, above: tuple[int, ...] = ()) -> Frozen:
    """Return ``value`` as nested tuples; dicts are sorted by their keys' forms, functions are left out, the way back up is only named.

    Args:
        value: the state.
        above: identities of the objects that hold it, against cycles.

    Raises:
        TypeError: a kind of object that no state may hold (a set, for its order).
    """
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, list | tuple | deque):
        return tuple(freeze(item, above) for item in value)
    if isinstance(value, dict):
        return tuple(sorted(((freeze(key), freeze(item, above)) for key, item in value.items()), key=repr))
    if isinstance(value, Enum):
        return str(value)
    own = getattr(value, "freeze", None)
    if own is not None and not attrs.has(type(value)):
        return own()
    kind: type = type(value)
    if attrs.has(kind):
        if id(value) in above:
            return kind.__name__
        held = [getattr(value, field.name) for field in attrs.fields(kind)]
        return (kind.__name__, *(freeze(item, (*above, id(value))) for item in held if not _function(item)))
    message = f"no canonical form for {type(value).__name__}"
    raise TypeError(message)


def _function(value: object) -> bool:
    return isinstance(value, Callable) and not attrs.has(type(value))  # type: ignore[arg-type]
