"""`golive dashboards`: what Grafana, Prometheus and Alertmanager need to know of golive, as files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from golive.commands._common import fail, telling_errors

_WRITTEN = (
    "grafana/*.json",
    "prometheus/rules/*.yaml",
    "prometheus/alertmanager.yml",
    "provisioning/*/*.yaml",
)
_RUNBOOKS = "docs/alerts.md"
"""Where the alerts' links lead in a checkout."""


def dashboards(
    folder: Annotated[Path, typer.Argument(help="Where to write; it is made if it is missing.")],
    runbooks: Annotated[
        str | None,
        typer.Option(help="Address of docs/alerts.md where your people read it; the alerts link to it."),
    ] = None,
) -> None:
    """Write Grafana's dashboards and their provisioning, Prometheus' rules, and Alertmanager's routes.

    Files of the same names are replaced, others are left alone.
    """
    source = _source()
    with telling_errors():
        for file in _files(source):
            written = folder / file.relative_to(source)
            written.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text()
            written.write_text(text.replace(f" {_RUNBOOKS}#", f" {runbooks}#") if runbooks else text)
            typer.echo(str(written))


def _source() -> Path:
    """Return the folder of the files: within the package of a wheel, or that of the checkout."""
    here = Path(__file__)
    folder = here.parents[1] / "dashboards"
    if not folder.is_dir():
        folder = here.parents[3] / "dashboards"
    if not folder.is_dir():
        fail("the dashboards are not installed with this golive: install it from a wheel, or its sources")
    return folder


def _files(source: Path) -> Iterator[Path]:
    for pattern in _WRITTEN:
        yield from sorted(source.glob(pattern))
