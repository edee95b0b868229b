from __future__ import annotations

from tests.triskele.profile.profiled import process, result
from triskele.profile.document import Heading, Table, markdown
from triskele.profile.sections import figure, percent, sections, title


def tables(*names: str) -> dict[str, Table]:
    found: dict[str, Table] = {}
    heading = ""
    for block in sections(result()):
        if isinstance(block, Heading):
            heading = block.text
        elif isinstance(block, Table):
            found.setdefault(heading, block)
    return {name: found[name] for name in names}


def test_the_sections_are_those_of_an_analysis() -> None:
    headings = [block.text for block in sections(result()) if isinstance(block, Heading)]
    expected = ["Profile", "Summary", "Utilisation", "Shares by area", "replica-0 (leader): top functions by own time"]
    assert headings[:5] == expected
    assert "clients (client)" not in " ".join(headings)
    assert headings[-4:] == ["System calls per operation", "Allocation and collector", "What is not a bottleneck", "How this was measured"]


def test_the_shares_of_each_process_add_up_to_the_whole() -> None:
    table = tables("Shares by area")["Shares by area"]
    assert table.heads[:3] == ["area", "replica-0 (leader)", "us/op"]
    assert table.rows[-1][:3] == ["together", "100%", "4.00"]
    assert table.rows[0][:3] == ["network writes", "30.0%", "1.20"]


def test_functions_have_file_line_and_the_error_of_their_estimate() -> None:
    name = "replica-0 (leader): top functions by own time"
    row = tables(name)[name].rows[0]
    assert row == ["Replica.step", "replica/core/replica.py:100", "replica/core/replica.py:111", "protocol", "50.0% ± 5.0%", "50.0%", "70.0%", "2.00"]
    assert tables(name)[name].rows[1][0] == "[send]"


def test_what_every_stack_begins_with_is_no_news_by_cumulative_time() -> None:
    name = "replica-0 (leader): top functions by cumulative time"
    assert [row[0] for row in tables(name)[name].rows] == ["Replica.step", "[send]", "TcpLink.flush", "Store.apply"]


def test_system_calls_are_told_by_kind() -> None:
    name = "System calls per operation"
    assert tables(name)[name].rows[0] == ["replica-0 (leader)", "0.0001", "0.0001", "0.0000", "0.0000", "0.0000", "0.0002", "19"]


def test_idle_waiting_and_use_of_a_core_are_the_whole() -> None:
    row = tables("Utilisation")["Utilisation"].rows[0]
    assert row[:5] == ["replica-0 (leader)", "40.0%", "25.0%", "20.0%", "40.0%"]


def test_an_idle_cluster_without_load_is_told_too() -> None:
    idle = {**process(operations=0), "operations": 0, "cpu_us_per_operation": None, "functions": [], "samples": 0}
    idle["calls_per_operation"] = dict.fromkeys(idle["calls_per_operation"])
    idle["memory"]["blocks_per_operation"] = None
    idle["waiting_seconds"] = None
    text = markdown(sections(result(idle, load=None)))
    assert "10 s of a running cluster; no load of our own." in text
    assert "| replica-0 (leader) | - | - | - | - | - | - | 19 |" in text


def test_figures() -> None:
    assert (percent(0.1234), percent(1.0), figure(None), figure(1234.5)) == ("12.3%", "100%", "-", "1,234.50")
    assert title({"name": "clients", "role": "client"}) == "clients"
