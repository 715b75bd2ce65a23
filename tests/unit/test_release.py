"""Release artefacts: two builds of the same sources are the same to the last bit."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "sdk", "exporters", "api", "dashboards")


def built(folder: Path, umask: int, mtime: int) -> dict[str, str]:
    """Build a copy of the sources, and return the name and the hash of each artefact."""
    source = folder / "source"
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            source.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    for file in source.rglob("*"):
        file.chmod(0o777 & ~umask if file.is_dir() else 0o666 & ~umask)
        os.utime(file, (mtime, mtime))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000", "TZ": f"UTC-{umask % 9}"},
        check=True,
        capture_output=True,
        umask=umask,
    )
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "dist").iterdir()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    built(folder, 0o022, 1_600_000_000)
    return folder / "dist"


def test_two_builds_agree_whoever_makes_them_where_and_when(tmp_path: Path, dist: Path) -> None:
    one = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in dist.iterdir()}
    assert built(tmp_path, 0o077, 1_500_000_001) == one
    assert sorted(name.split("-")[0] for name in one) == ["golive", "golive"]


def test_they_hold_what_belongs_to_golive_and_nothing_else(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as packed:
        for member in packed.getmembers():
            assert member.isfile(), member.name
            assert (member.uid, member.gid, member.uname) == (0, 0, ""), "who built it"
            assert ".." not in Path(member.name).parts
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert "golive/kpi.py" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"golive"}
    assert not [name for name in names if name.endswith((".db", ".log", ".env", ".pem", ".pyc"))]
