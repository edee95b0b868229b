"""A run's folder: ``chaos.json``, ``report.md`` and ``report.html``, beside the history and what the replicas said."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from loadgen.files import write_or_tell
from loadgen.report import CHECKED
from replica.config import SettingError
from triskele.chaos.nemeses import NEMESES
from triskele.chaos.page import page
from triskele.profile.document import Block, Bullets, Heading, Paragraph, Table, markdown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESULT = "chaos.json"


def check_folder(folder: Path) -> None:
    """Make the folder of a run, before anything is started.

    Raises:
        SettingError: It cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
        (folder / "replicas.log").write_text("", encoding="utf-8")
    except OSError as error:
        raise SettingError("--output", folder, error.strerror or str(error)) from None


def write_folder(folder: Path, result: Mapping[str, Any]) -> list[str]:
    """Write the reports of a result; return a line for each that could not be written."""
    blocks = sections(result)
    texts = {
        RESULT: json.dumps(result, indent=1) + "\n",
        "report.md": markdown(blocks),
        "report.html": page(title(result), blocks, result),
    }
    unwritten = []
    for name, text in texts.items():
        unwritten += write_or_tell("--output", folder / name, partial((folder / name).write_text, text, encoding="utf-8"))
    return unwritten


def title(result: Mapping[str, Any]) -> str:
    """Return the report's title."""
    verdict = "PARTIAL" if result["partial"] else "passed" if result["passed"] else "NOT PASSED"
    return f"Chaos, seed {result['settings']['seed']}: {verdict}"


def sections(result: Mapping[str, Any]) -> list[Block]:
    """Return the report."""
    settings, check = result["settings"], result["check"]
    what = (
        f"{settings['replicas']} replicas, {settings['seconds']:g} s of load, durability {settings['durability']}, mode {settings['mode']}: "
        f"{result['operations']:,} commands completed ({result['strong']:,} strong), {result['failed']} failed, {result['unknown']} have an unknown "
        f"outcome; {len(result['faults'])} faults; the longest time without a strong completion was {result['longest_strong_silence_seconds']:.2f} s."
    )
    agreement = result["agreement"]
    promises = [[name.replace("_", " "), check[name]] for name in CHECKED] + [["replicas equal at the end", agreement["verdict"]]]
    blocks: list[Block] = [Heading(title(result), 1), Paragraph(what)]
    if result["problems"]:
        blocks += [Heading("What is wrong"), Bullets(result["problems"])]
    vacuous = f"; the check is vacuous: {check['vacuous']}" if check["vacuous"] else ""
    checked = Paragraph(f"{check['operations_checked']:,} operations were checked{vacuous}.")
    blocks += [Heading("Promises"), Table(["promise", "holds"], promises, 2), checked]
    blocks += [Heading("Faults"), _faults(result), Paragraph(_LEGEND)]
    if result["endings"]:
        rows = [[f"{end['at']:.1f}", str(end["replica"]), end["words"], "yes" if end["expected"] else "NO"] for end in result["endings"]]
        blocks += [Heading("Ends of processes"), Table(["at, s", "replica", "how", "by a fault"], rows, 4)]
    kinds = [f"{name}: {NEMESES[name].says}" for name in settings["nemeses"]] + [
        f"without {name}: {why}" for name, why in settings["left_out"].items()
    ]
    blocks += [Heading("Kinds of fault"), Bullets(kinds), Paragraph(_LOSS), Paragraph(f"Again: `{again(result)}`")]
    return blocks


_LEGEND = (
    "Felt: processes, or pieces of data and connections, that the fault touched. Silence: the longest time without a strong completion that touches "
    "the fault. Again: from its end until a strong command completed. Rates: commands a second before, during, and after it when served again."
)
_LOSS = (
    "TCP neither loses nor reorders bytes inside a connection: a lossy line is one on which bytes come late, connections end, or one side is not "
    "heard; what is sent over two connections may change its order."
)


def again(result: Mapping[str, Any]) -> str:
    """Return the command line that draws the same schedule."""
    settings = result["settings"]
    words = f"triskele chaos --replicas {settings['replicas']} --seconds {settings['seconds']:g} --seed {settings['seed']}"
    words += f" --nemesis {','.join(settings['nemeses'])}"
    return words + (f' --load="{settings["load"]}"' if settings["load"] else "") + " --output DIR"


def _faults(result: Mapping[str, Any]) -> Table:
    heads = ["fault", "of", "hit", "at, s", "lasts, s", "felt", "silence, s", "again, s", "before", "during", "after"]
    rows = []
    for row in result["faults"]:
        fault, served = row["fault"], row["again_seconds"]
        strength = f" {fault['strength']:g} s" if fault["strength"] else ""
        way = (" outgoing" if fault["outgoing"] else " incoming") if fault["nemesis"] == "half-open" else ""
        rows.append(
            [
                f"{fault['nemesis']}{strength}{way}", fault["target"], " ".join(map(str, row["hit"])), f"{row['began']:.1f}",
                f"{row['ended'] - row['began']:.1f}", f"{row['touched']:,}", f"{row['strong_silence_seconds']:.2f}",
                "never" if served is None else f"{served:.2f}", *(f"{row[name]:,.0f}" for name in ("rate_before", "rate_during", "rate_after")),
            ]
        )  # fmt: skip
    return Table(heads, rows, 3)
