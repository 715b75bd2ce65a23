"""A progress bar over a file that is read line by line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from golive.commands._common import console

if TYPE_CHECKING:
    from golive.eventlog import EventLog


@contextmanager
def reading_progress(log: "EventLog", path: Path) -> Iterator[Callable[[int], None]]:
    """Show how far the file is read, on standard error and only on a terminal; yields an update function."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    on = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=on, disable=not on.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=path.stat().st_size if path.is_file() else None)

        def update(lines: int) -> None:
            progress.update(task, completed=log.bytes_read(), description=f"{lines:,} lines")

        yield update
