"""What the commands share: where the store is, how an error is told, how text from outside is shown."""

import contextlib
import datetime as dt
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import URL, Connection

    from golive.reader import EventReader

MISCONFIGURED = 2
INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended."""
_WIDTH_OF_A_PIPE = 160
PATIENCE_S = 600.0
"""How long a person at a shell waits for events from a store apart, in seconds."""
_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
TIME_HELP = "An ISO 8601 time (UTC unless it has an offset), or how long ago: 30m, 24h, 7d."


class Format(StrEnum):
    """How a command prints."""

    table = "table"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="A table, or JSON for programs.")]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="golive's database. Default: DATABASE_URL, else golive.db in the current folder. "
        "Where GOLIVE_EVENTS_URL is set, events are there.",
    ),
]


def store_url(given: str | None) -> "URL":
    """Return the URL of the store, from the option or the environment."""
    from golive import database, settings

    return database.normalise_url(
        given or os.environ.get(settings.DATABASE_URL) or settings.DEFAULT_DATABASE_URL
    )


def moment(option: str, text: str | None) -> dt.datetime | None:
    """Return the instant an option names, as `TIME_HELP` says; None for None."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        with contextlib.suppress(OverflowError):
            return dt.datetime.now(dt.UTC) - dt.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        named = dt.datetime.fromisoformat(text)
        return (named if named.tzinfo else named.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        fail(f"--{option}: expected a time as 2026-01-31T12:00 or 24h, got {text!r}")


def events_url(given: str | None) -> "URL":
    """Return the URL of where events are: the store, unless the environment names one apart."""
    from golive import readers

    return readers.apart() or store_url(given)


def actor() -> str:
    """Return who acts, for the audit trail: the user of the operating system."""
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = str(os.getuid())
    return f"cli:{user}"


@contextmanager
def telling_errors() -> Iterator[None]:
    """End with one line on standard error and exit code 2 where the store or a setting cannot work."""
    from sqlalchemy.exc import SQLAlchemyError

    from golive.errors import GoliveError

    try:
        yield
    except GoliveError as error:
        fail(str(error))
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        fail(" ".join(f"the database cannot be used: {cause}".split()))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


@contextmanager
def reading(given: str | None) -> "Iterator[Connection]":
    """Yield a connection to the store, its schema checked."""
    from golive import database

    with telling_errors():
        url = store_url(given)
        engine = database.create_store_engine(url)
        try:
            with engine.connect() as connection:
                database.check_schema(connection)
                yield connection
        finally:
            engine.dispose()


@contextmanager
def reading_events(given: str | None) -> "Iterator[EventReader]":
    """Yield what reads the events of the store, its schema checked."""
    from golive import readers

    with reading(given) as connection, readers.beside(connection, PATIENCE_S) as events:
        yield events


def fail(message: str) -> NoReturn:
    """Say what is wrong on standard error, and end with exit code 2."""
    typer.echo(f"golive: {shown(message)}", err=True)
    raise typer.Exit(MISCONFIGURED)


def console(*, stderr: bool = False) -> "Console":
    """Return a console that takes square brackets in data for what they are."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = _WIDTH_OF_A_PIPE
    return made


def shown(text: object) -> str:
    """Return text from outside in a form no terminal acts on: control and direction marks are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
