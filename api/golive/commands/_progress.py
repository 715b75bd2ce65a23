"""A progress bar over a file that is read line by line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from golive.commands._common import console


@contextmanager
def reading_progress(path: Path) -> Iterator[Callable[[int, int], None]]:
    """Show how far the file is read, on standard error and only on a terminal.

    Yields:
        A function to call with the lines and the bytes read so far.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    on = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=on, disable=not on.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=path.stat().st_size if path.is_file() else None)

        def update(lines: int, bytes_read: int) -> None:
            progress.update(task, completed=bytes_read, description=f"{lines:,} lines")

        yield update
