"""Who may import whom. Import-linter holds the contracts of pyproject.toml; child interpreters show that what is pure stays so at run time."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("triskele", "replica", "transport", "statemachine", "loadgen")
LINT_IMPORTS = "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(*sorted(sys.modules))
"""
THIRD_PARTY = {"trio", "outcome", "trio_websocket", "cbor2", "h11", "numpy"}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT_IMPORTS], cwd=folder, capture_output=True, text=True, check=False)


def modules_after_importing(package: str) -> set[str]:
    """Return the names in sys.modules of a fresh interpreter that imported a package and all its modules."""
    child = subprocess.run([sys.executable, "-c", IMPORT_ALL, package], cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return set(child.stdout.split())


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, also inside functions and for types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module in PACKAGES:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    """Return those of them that are ours."""
    return {name for name in imports(path) if name.split(".")[0] in PACKAGES}


def test_the_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("statemachine/planted.py", "import time"),
        ("replica/core/planted.py", "import random"),
        ("replica/core/planted.py", "import trio"),
        ("replica/core/planted.py", "from transport import planted"),
        ("transport/planted.py", "import cbor2"),
        ("transport/planted.py", "import statemachine"),
        ("replica/planted.py", "import loadgen"),
        ("replica/storage/planted.py", "import replica.core"),
    ],
)
def test_a_planted_import_breaks_a_contract(tmp_path: Path, module: str, line: str) -> None:
    """A check that never failed proves nothing: an empty house passes, the same house with one wrong import does not."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in (*PACKAGES, "replica/core", "replica/storage"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "planted.py").touch()
    clean = lint_imports(tmp_path)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    (tmp_path / module).write_text(line + "\n")
    broken = lint_imports(tmp_path)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "BROKEN" in broken.stdout


def test_the_core_runs_without_trio() -> None:
    loaded = modules_after_importing("replica.core")
    assert "replica.core" in loaded
    assert not loaded & (THIRD_PARTY | {"transport"})
    assert {name for name in loaded if name.startswith("replica.") and not name.startswith("replica.core")} == set()


def test_the_state_machine_runs_without_trio() -> None:
    loaded = modules_after_importing("statemachine")
    assert not loaded & (THIRD_PARTY | {"transport", "replica"})


def test_transport_runs_without_the_codec_and_the_replica() -> None:
    loaded = modules_after_importing("transport")
    assert not loaded & {"cbor2", "replica", "statemachine"}


def test_the_core_imports_nothing_else_of_replica() -> None:
    files = sorted((ROOT / "replica" / "core").rglob("*.py"))
    assert files
    allowed = ("replica.core", "statemachine")
    wrong = {str(path.relative_to(ROOT)): strange for path in files if (strange := {n for n in own_imports(path) if not n.startswith(allowed)})}
    assert wrong == {}


def test_the_codec_imports_only_the_core_and_the_state_machine() -> None:
    """``replica.wire`` and the modules that it is made of know messages and bytes: no link, no clock, no task."""
    files = sorted((ROOT / "replica").glob("wire*.py"))
    assert {"wire.py", "wire_cbor.py", "wire_columns.py"} <= {path.name for path in files}
    allowed, banned = ("replica.core", "replica.wire", "statemachine"), (THIRD_PARTY - {"cbor2"}) | {"asyncio", "socket", "threading", "time"}
    strange = {path.name: {n for n in own_imports(path) - {"replica"} if not n.startswith(allowed)} for path in files}
    assert {name: found for name, found in strange.items() if found} == {}
    assert {path.name: found for path in files if (found := {n.split(".")[0] for n in imports(path)} & banned)} == {}
