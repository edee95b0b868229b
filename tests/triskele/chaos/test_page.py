from __future__ import annotations

from typing import TYPE_CHECKING

from tests.triskele.chaos.told import result
from triskele.chaos.page import page, timeline
from triskele.profile.document import Bullets, Heading, Paragraph, Table

if TYPE_CHECKING:
    from triskele.profile.document import Block


def test_the_timeline_has_a_bar_for_each_fault_and_a_line_for_each_consistency() -> None:
    drawn = timeline(result())
    assert drawn.count("<rect") == 4  # a bar, and its shadow over the throughput
    assert drawn.count("<polyline") == 2
    assert ">kill 2</text>" in drawn
    assert ">half-open 1</text>" in drawn


def test_faults_that_overlap_have_rows_of_their_own() -> None:
    told = result()
    apart = timeline(told)
    told["faults"][1]["began"] = 1.5
    assert "y=34>half-open 1" not in apart
    assert "y=34>half-open 1" in timeline(told)


def test_a_page_shows_every_block_and_needs_nothing_else() -> None:
    blocks: list[Block] = [Heading("T & t", 1), Paragraph("<p>"), Bullets(["one"]), Table(["a", "b"], [["<x>", "1"]])]
    shown = page("T & t", blocks, result())
    assert "<title>T &amp; t</title>" in shown
    assert "&lt;x&gt;" in shown
    assert "<li>one</li>" in shown
    assert "<p>&lt;p&gt;</p>" in shown
    assert "http" not in shown.replace("http-equiv", "")
