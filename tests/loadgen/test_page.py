"""The HTML report: complete in itself, well formed, nothing unescaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from loadgen.page import chart, nice, page
from loadgen.report import CHECKED
from tests.loadgen.results import built, client_result

VOID = {"meta"}


class Balance(HTMLParser):
    """Fails where a tag is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name not in {"src", "href"} for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> list[str]:
    balance = Balance()
    balance.feed(text)
    balance.close()
    assert balance.open == []
    return balance.text


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    result = built([client_result([(100, 9, 1)] * 25)] * 2, floors={"wire_per_second": 9000.0, "codec_per_second": 4000.0})
    result["reasons"] = {"<script>": 2}
    text = page(result)
    words = parsed(text)
    assert "http" not in text
    assert "<script" not in text
    assert any("a <processor>" in word for word in words)
    assert {"Triskele load: 2,000 operations a second", "Throughput", "Latency", "Floors", "What failed", "Settings", "conflict_percent"} <= set(
        words
    )


def test_a_run_without_logged_commands_has_a_page() -> None:
    words = parsed(page(built([client_result([(100, 0, 0)] * 3)])))
    assert "none in this run" in words
    assert "Floors" not in words


def test_a_chart_keeps_its_points_inside() -> None:
    drawn = chart([("a", "#000", [(0.0, 0.0), (1.0, 7.0), (2.0, 9.9)]), ("b", "#111", [(0.0, 3.0), (2.0, 1.0)])], "s", "things")
    parsed(drawn)
    places = [tuple(map(float, pair.split(","))) for line in re.findall(r"points='([^']*)'", drawn) for pair in line.split()]
    assert len(places) == 5
    assert all(0 <= x <= 720 and 0 <= y <= 220 for x, y in places)
    assert min(y for _, y in places) == pytest.approx(18, abs=3)  # 9.9 of 10 is at the top


def test_a_single_point_is_a_dot_and_nothing_says_so() -> None:
    assert "<circle" in chart([("a", "#000", [(0.0, 5.0)])], "s", "things")
    assert "nothing measured" in chart([("a", "#000", [])], "s", "things")


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1.0), (0.07, 0.1), (1.0, 1.0), (1.1, 2.0), (2.2, 2.5), (2.6, 5.0), (9.9, 10.0), (1.2e5, 2e5)])
def test_round_numbers(value: float, expected: float) -> None:
    assert nice(value) == pytest.approx(expected)


def test_a_violation_is_told_on_the_page() -> None:
    result = built([client_result([(100, 9, 1)] * 10)])
    assert "Check of the history" not in page(result)
    operation = {"line": 7, "process": "1", "text": "1 get <x> = nothing"}
    found = {"pattern": "no linearization", "why": "because", "operations": [operation], "order": []}
    result["check"] = dict.fromkeys(CHECKED, "yes") | {
        "linearizable": "no", "operations_checked": 12, "seconds": 0.1, "reasons": {"hybrid": "late"}, "counterexamples": {"linearizable": found},
        "history": "h.jsonl",
    }  # fmt: skip
    shown = page(result)
    assert "Check of the history" in shown
    assert "linearizable: no linearization" in shown
    assert "1 get &lt;x&gt; = nothing" in shown
    assert "hybrid: late" in shown
