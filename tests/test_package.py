"""The wheel that users install, and the requirements it is developed with."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

pytestmark = pytest.mark.xdist_group("package")  # one build for all of them


def run(*command: str | Path, cwd: Path) -> str:
    """Run *command* and give back what it printed; a failure shows all it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree as it stands."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel, what it declares, and nothing else."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for needed in declared("streams"):
        link(needed, packages)
    run(sys.executable, "-m", "pip", "--python", home, "install", "--no-deps", "--no-index", wheel, cwd=home)
    return home / "bin"


def declared(name: str, seen: set[str] | None = None) -> Iterator[Distribution]:
    """Every distribution that *name* needs to run, extras left out, each once."""
    seen = set() if seen is None else seen
    for requirement in map(Requirement, distribution(name).requires or ()):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and requirement.name not in seen:
            seen.add(requirement.name)
            yield distribution(requirement.name)
            yield from declared(requirement.name, seen)


def link(needed: Distribution, packages: Path) -> None:
    """Let *packages* see what *needed* put at the top of its own site-packages."""
    for top in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
        (packages / top).symlink_to(Path(str(needed.locate_file(top))))


def pins(lock: Path) -> dict[str, str]:
    """The version that *lock* holds of each package."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    """The wheel brings the typed package and its licence, and no file from outside it."""
    names = ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {"streams", f"streams-{PROJECT['project']['version']}.dist-info"}
    assert "streams/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_brings_the_pages_of_the_dashboard(wheel: Path) -> None:
    """Templates, colours and the script are files of the package."""
    names = set(ZipFile(wheel).namelist())
    shown = {path for path in (ROOT / "streams" / "monitor" / "dashboard").glob("[st]*/*.*") if path.suffix != ".pyc"}

    assert len(shown) > 15
    assert {str(path.relative_to(ROOT)) for path in shown} <= names


def test_the_wheel_imports_with_what_it_declares(installed: Path, tmp_path: Path) -> None:
    """What `import streams` needs is declared as a requirement of the package."""
    place = run(installed / "python", "-c", "import streams; print(streams.__file__)", cwd=tmp_path)

    assert place.startswith(str(installed.parent))


def test_the_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    """The console script starts with what the package declares, and knows its version."""
    told = run(installed / "streams", "--version", cwd=tmp_path)

    assert PROJECT["project"]["version"] in told


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_the_requirements_name_no_registry(lock: str) -> None:
    """A lock holds names, versions, markers and sums: it works with whichever registry its reader is set up for."""
    text = (ROOT / "requirements" / lock).read_text()

    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    assert text.count("==") <= text.count("--hash=sha256:")


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("runtime.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", PROJECT["dependency-groups"]["test"]),
        *(("dev.txt", extra) for extra in PROJECT["project"]["optional-dependencies"].values()),
    ],
)
def test_the_requirements_pin_what_the_project_asks(lock: str, asked: list[str]) -> None:
    """Every requirement in pyproject.toml is pinned at a version it allows; `make lock` makes it so."""
    pinned = pins(ROOT / "requirements" / lock)

    for requirement in map(Requirement, asked):
        assert pinned.get(requirement.name, "") in requirement.specifier, f"run make lock: {requirement}"
