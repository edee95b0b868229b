"""Session order is that of docs/protocol.md; clocks say what reachability says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from loadgen.checkers.causality import LABELS, SAW, SESSION, Causality, Graph, joined
from loadgen.checkers.pairing import paired
from loadgen.checkers.sources import sources_of
from tests.loadgen.checkers.orders import causal_order, histories
from tests.loadgen.checkers.scripts import causality, history


def before(text: str) -> set[tuple[int, int]]:
    made = causality(text)
    operations = made.history.operations
    return {(a.place, b.place) for a in operations for b in operations if a is not b and made.graph.path(a.place, b.place)}


def test_commands_are_ordered_by_number_even_in_flight() -> None:
    assert before("one> a put x 1\ntwo> a put x 2\ntwo<\none<") == {(0, 1)}


def test_a_read_comes_after_commands_issued_before_it_and_before_what_is_issued_after_it_returned() -> None:
    text = """
        one> a put x 1
        read> a get y
        two> a put x 2
        one<
        two<
        read< = -
        a put x 3
    """
    assert before(text) == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}  # the read and the second put are concurrent


def test_reads_in_flight_together_are_not_ordered() -> None:
    assert before("one> a get x\ntwo> a get x\none< = -\ntwo< = -\na get x = -") == {(0, 2), (1, 2)}


def test_numbers_win_over_the_order_of_issue() -> None:
    made = history("a put x 1\na put x 2")
    made.operations[0].number, made.operations[1].number = 2, 1
    order = Causality(made, sources_of(made))
    assert (order.precedes(made.operations[1], made.operations[0]), order.precedes(made.operations[0], made.operations[1])) == (True, False)


def test_a_failed_command_and_a_read_without_an_answer_are_nowhere() -> None:
    assert before("a put x 1 fail\na get x fail\na put x 2") == set()


@settings(max_examples=80, deadline=None)
@given(histories(writes_max=6, operations_max=12))
def test_clocks_are_the_closure(events: list[dict[str, Any]]) -> None:
    made = paired(events)
    order = Causality(made, sources_of(made))
    pairs = causal_order(order)
    assert order.acyclic != any(a == b for a, b in pairs)
    if order.acyclic:
        commands = [operation for operation in made.operations if not operation.reads_only]
        told = {(a.place, b.place) for a in commands for b in made.operations if order.precedes(a, b)}
        assert told == {(a, b) for a, b in pairs if not made.operations[a].reads_only}


@settings(max_examples=80, deadline=None)
@given(histories(writes_max=6, operations_max=12))
def test_clocks_computed_again_after_a_new_edge_are_those_computed_anew(events: list[dict[str, Any]]) -> None:
    made = paired(events)
    order = Causality(made, sources_of(made))
    nodes = order.graph.order()
    commands = [operation.place for operation in made.operations if not operation.reads_only]
    if nodes is None or len(commands) < 2:
        return
    known = order.clocks_over(order.graph, nodes)
    order.graph.edge(commands[0], commands[-1], 0)
    nodes = order.graph.order()
    if nodes is not None:
        again = order.clocks_over(order.graph, nodes, [*known], {commands[-1]})
        assert again == order.clocks_over(order.graph, nodes)


def test_a_cycle_is_told_by_its_operations_alone() -> None:
    operations = history("a put x 1\nb put x 2\nc put x 3\nd put x 4").operations
    graph = Graph(operations, [[] for _ in operations])
    moment = graph.node()
    for a, b in ((0, 1), (1, moment), (moment, 2), (2, 1), (2, 3), (3, 0)):
        graph.edge(a, b, SAW)
    assert graph.order() is None
    assert [(a.place, b.place) for a, b, _ in graph.cycle()] == [(1, 2), (2, 1)]


def test_paths_are_joined_without_repeating_a_step() -> None:
    a, b, c = history("a put x 1\nb put x 2\nc put x 3").operations
    assert joined([(a, b, "1")], [(a, b, "2"), (b, c, "3")]) == [(a, b, "1"), (b, c, "3")]


def test_a_way_along_a_session_is_one_step() -> None:
    made = causality("a put x 1\na put x 2\na put x 3\nb get x = 3")
    arrows = [(a.place, b.place, why) for a, b, why in made.graph.path(0, 3)]
    assert arrows == [(0, 2, LABELS[SESSION]), (2, 3, LABELS[SAW])]
