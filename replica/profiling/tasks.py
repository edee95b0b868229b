"""The tree of Trio's nurseries and tasks, each with the places where it waits: what a dump of all threads is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from replica.profiling.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

TASKS_MAX = 5000
"""Tasks told; one line says how many more there are."""
TREE_DEPTH_MAX = 60

Node = dict[str, Any]
"""``{"name": …, "waits": ["function (file:line)", …], "nurseries": [[node, …], …]}``, the innermost wait last."""


def task_tree(root: trio.lowlevel.Task | None = None) -> Node:
    """Return the tree below a task, Trio's root if None; ``left_out`` counts children beyond ``TASKS_MAX``.

    Raises:
        RuntimeError: Not called from inside Trio.
    """
    top = root or trio.lowlevel.current_root_task()
    assert top is not None
    naming, told, left_out = Naming(), 0, 0

    def node(task: trio.lowlevel.Task, depth: int) -> Node:
        nonlocal told, left_out
        told += 1
        nurseries = []
        for nursery in task.child_nurseries:
            children = sorted(nursery.child_tasks, key=lambda child: child.name)
            room = max(0, TASKS_MAX - told) if depth < TREE_DEPTH_MAX else 0
            left_out += len(children) - min(len(children), room)
            nurseries.append([node(child, depth + 1) for child in children[:room]])
        waits = [f"{code.co_qualname} ({naming.short(code.co_filename)}:{line})" for code, line in frames_of(task.coro)]
        return {"name": task.name, "waits": waits, "nurseries": nurseries}

    tree = node(top, 0)
    return {**tree, "left_out": left_out}


def frames_of(coroutine: object) -> Iterator[tuple[CodeType, int]]:
    """Yield code and line of every frame of a coroutine that stands still, from the outermost to where it waits."""
    while coroutine is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                yield frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno
                coroutine = getattr(coroutine, f"{kind}_await", None) or getattr(coroutine, f"{kind}_yieldfrom", None)
                break
        else:
            return


def task_text(tree: Node) -> str:
    """Return the tree as lines: a task, where it waits as far as it is not Trio's code, and the tasks of its nurseries below it."""
    lines = list(_lines(tree, ""))
    if tree.get("left_out"):
        lines.append(f"and {tree['left_out']} more, and what is below")
    return "\n".join(lines) + "\n"


def _lines(node: Node, indent: str) -> Iterator[str]:
    own = [place for place in node["waits"] if "(trio/" not in place] or node["waits"]
    yield f"{indent}{node['name']}: {own[-1] if own else 'runs'}"
    for children in node["nurseries"]:
        for child in children:
            yield from _lines(child, indent + "  ")
