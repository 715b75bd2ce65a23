"""`golive dashboards`: the files, wherever golive is installed."""

import os
import tomllib
from pathlib import Path

from golive.commands.dashboards import _WRITTEN
from tests.support.cli import golive

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "dashboards"


def files() -> list[Path]:
    return sorted(file.relative_to(SOURCE) for pattern in _WRITTEN for file in SOURCE.glob(pattern))


def test_it_writes_every_file_as_it_is(tmp_path: Path) -> None:
    golive("dashboards", "out", cwd=tmp_path, environment=dict(os.environ))
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert sorted(file.relative_to(tmp_path / "out") for file in written) == files()
    assert all(
        file.read_text() == (SOURCE / file.relative_to(tmp_path / "out")).read_text() for file in written
    )


def test_alerts_link_to_the_runbooks_it_is_given(tmp_path: Path) -> None:
    golive("dashboards", ".", "--runbooks", "https://w.example/a", cwd=tmp_path, environment=dict(os.environ))
    text = "".join(file.read_text() for file in tmp_path.glob("prometheus/rules/*.yaml"))
    assert "runbook_url: https://w.example/a#killswitchengaged\n" in text
    assert "docs/alerts.md" not in text


def test_a_wheel_has_all_of_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for file in files():
        shipped = {f"dashboards/{part}" for part in [file, *file.parents]} & included.keys()
        assert shipped, file
        assert all(target == f"golive/{source}" for source, target in included.items())
