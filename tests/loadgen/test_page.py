"""The HTML report: complete in itself, well formed, nothing unescaped."""

from __future__ import annotations

from loadgen.page import page
from loadgen.report import CHECKED
from tests.loadgen.balance import parsed
from tests.loadgen.results import built, client_result


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


def test_a_replica_without_counters_says_why() -> None:
    words = parsed(page(built([client_result([(100, 9, 1)] * 25)])))
    assert {"no counters: its admin address did not answer", "no counters: it was restarted meanwhile"} <= set(words)


def test_a_run_without_logged_commands_has_a_page() -> None:
    words = parsed(page(built([client_result([(100, 0, 0)] * 3)])))
    assert {"none in this run", "the window was shorter than a second"} <= set(words)
    assert "Floors" not in words


def test_a_last_tenth_that_was_cut_is_not_drawn_as_a_rate() -> None:
    process = client_result([(100, 9, 1)] * 24 + [(10, 1, 0)])
    whole, cut = process | {"end": process["start"] + 2.5}, process | {"end": process["start"] + 2.41}
    points = [[line.partition("'")[0].count(",") for line in page(built([one])).split("points='")[-2:]] for one in (whole, cut)]
    assert points == [[25, 25], [24, 24]]  # fast and slow


def test_a_violation_is_told_on_the_page() -> None:
    result = built([client_result([(100, 9, 1)] * 10)])
    assert "Check of the history" not in page(result)
    operation = {"line": 7, "process": "1", "text": "1 get <x> = nothing"}
    found = {"pattern": "no linearization", "why": "because", "operations": [operation], "order": []}
    result["check"] = dict.fromkeys(CHECKED, "yes") | {
        "linearizable": "no", "operations_checked": 12, "seconds": 0.1, "reasons": {"hybrid": "late"}, "counterexamples": {"linearizable": found},
        "history": "h.jsonl", "vacuous": None,
    }  # fmt: skip
    shown = page(result)
    assert "Check of the history" in shown
    assert "linearizable: no linearization" in shown
    assert "1 get &lt;x&gt; = nothing" in shown
    assert "hybrid: late" in shown
    assert "vacuous" not in shown
    result["check"]["vacuous"] = "9 operations were answered"
    assert "The check is vacuous: 9 operations were answered." in page(result)


def test_operations_that_no_latency_shows_are_told() -> None:
    parts = [client_result([(10, 1, 0)] * 10) | {"drained": {"operations": 7, "us_max": 1_234_567}, "backlog_max": 9, "backlog_end": 3}]
    text = page(built(parts))
    assert "in flight at the end, and in no figure: 7 operations, the slowest took 1,234.567 ms" in text
    assert "open loop: 9 operations late at most, 3 at the end" in text
