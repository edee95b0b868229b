"""The picture shows every operation, every process and every arrow, and is an image."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from loadgen.checkers.hybrid import check_hybrid
from loadgen.checkers.linearizable import check_linearizable
from loadgen.checkers.timeline import timeline
from tests.loadgen.checkers.scripts import causality, history
from tests.loadgen.checkers.test_hybrid import ANCHORS

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: ET.Element) -> list[str]:
    return ["".join(element.itertext()) for element in picture.iter(f"{SVG}text")]


def test_bars_rows_and_arrows_are_drawn() -> None:
    found = check_hybrid(causality(ANCHORS)).counterexample
    assert found is not None
    picture = ET.fromstring(timeline("hybrid", found))
    shown = texts(picture)
    assert shown[0] == "hybrid: no common order"
    assert {"a", "b", "put y 1", "put x 1", "get x = nothing", "get y = nothing"} <= set(shown)
    assert len([path for path in picture.iter(f"{SVG}path") if path.get("class") == "arrow"]) == 4
    assert "a before c: same session" in shown


def test_bars_overlap_where_operations_did_and_nowhere_else() -> None:
    found = check_linearizable(history("w> a put x 1\nv> b put x 2\nw<\nv<\nc get x = 1\nd get x = 2\ne get x = 1"), 30.0).counterexample
    assert found is not None
    picture = ET.fromstring(timeline("linearizable", found))
    bars = [(float(bar.attrib["x"]), float(bar.attrib["x"]) + float(bar.attrib["width"])) for bar in picture.iter(f"{SVG}rect") if bar.get("rx")]
    first, second, *reads = bars
    assert second[0] < first[1]
    assert all(a[1] < b[0] for a, b in zip([second, *reads], reads, strict=False))


def test_what_has_no_end_fades_and_foreign_text_is_escaped() -> None:
    made = history("p put x 1 unknown\nq get x = 1\nq get x = -")
    for operation in made.operations:
        operation.process = f"<{operation.process}>"
        operation.key = b"<&>"
    found = check_linearizable(made, 30.0).counterexample
    assert found is not None
    picture = ET.fromstring(timeline("linearizable", found))
    assert "<p>" in texts(picture)
    assert any(bar.get("fill") == "url(#fade)" for bar in picture.iter(f"{SVG}rect"))


def test_a_name_that_no_file_can_hold_is_drawn_all_the_same() -> None:
    made = history("a put x 1\nb get x = -")
    made.operations[1].process = "\ud800"
    found = check_linearizable(made, 30.0).counterexample
    assert found is not None
    assert "\\ud800" in texts(ET.fromstring(timeline("linearizable", found).encode()))
