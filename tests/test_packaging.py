"""What is installed: a wheel with five top-level packages, one command, and plain words where the extra is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"triskele", "replica", "transport", "statemachine", "loadgen"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIST_TOP_LEVEL = """
from importlib.metadata import distribution
triskele = distribution("triskele")
print(*sorted({file.parts[0] for file in triskele.files if not file.parts[0].startswith("..") and not file.parts[0].endswith(".dist-info")}))
print(*sorted(f"{point.name}={point.value}" for point in triskele.entry_points))
print(*(value for key, value in triskele.metadata.items() if key == "Classifier"), sep=", ")
"""
WITHOUT_THE_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "hdrh", "hdrh.histogram"]))  # as if not installed: importing them fails
sys.argv = ["triskele", *sys.argv[1:]]
from triskele.cli import main
sys.exit(main())
"""


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)


def normal(requirement: str) -> str:
    """Return a requirement's package name in its normal form."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("triskele-*.whl")
    return found


def test_the_wheel_holds_the_five_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_wheel_holds_every_module(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    ours = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert ours - inside == set()


def test_the_wheel_holds_our_experiments(wheel: Path) -> None:
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "loadgen" / "experiments").glob("*.toml")}
    assert len(ours) > 10
    assert ours - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_installed_wheel_has_its_command_and_its_top_level(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=False)
    python = tmp_path / "v" / "bin" / "python"
    installed = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", "--no-cache-dir", wheel)
    assert installed.returncode == 0, installed.stderr
    listed = run(python, "-c", LIST_TOP_LEVEL, cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    top_level, commands, classifiers = listed.stdout.splitlines()
    assert set(top_level.split()) == PACKAGES
    assert commands == "triskele=triskele.cli:main"
    assert "Private :: Do Not Upload" in classifiers
    assert (tmp_path / "v" / "bin" / "triskele").exists()


def test_the_command_is_there() -> None:
    (point,) = (point for point in entry_points(group="console_scripts") if point.name == "triskele")
    assert callable(point.load())


def test_the_store_comes_up_without_the_load_extra() -> None:
    result = run(sys.executable, "-c", WITHOUT_THE_EXTRA, "--help")
    assert result.returncode == 0, result.stderr
    assert "load" in result.stdout


def test_load_without_its_extra_says_what_to_install() -> None:
    result = run(sys.executable, "-c", WITHOUT_THE_EXTRA, "load", "--local", "3", "--seconds", "1")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "triskele[load]" in result.stderr
    assert "Traceback" not in result.stderr


def test_constraints_pin_every_direct_dependency_and_no_host() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    wanted = [*PROJECT["dependencies"], *(name for extra in PROJECT["optional-dependencies"].values() for name in extra)]
    assert {normal(name) for name in wanted} - {normal(line) for line in lines} == set()


def test_every_dependency_is_explained() -> None:
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    wanted = [*PROJECT["dependencies"], *(name for extra in PROJECT["optional-dependencies"].values() for name in extra)]
    assert [name for name in wanted if f"`{normal(name)}`" not in explained] == []
