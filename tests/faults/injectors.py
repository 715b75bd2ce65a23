"""Faults, each a context that heals what it hurt; `kill` alone is for good."""

import contextlib
import fcntl
import os
import random
import resource
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import psycopg

from golive.events import KpiEvent, from_json
from golive.shared_account import FILE
from tests.support.postgres import PostgresServer
from tests.support.proxy import Mode, Proxy
from tests.support.skew import ClockFile

PATIENCE_S = 30.0
_DAMAGED = 3
"""So many lines of a spool at once."""


class Impossible(Exception):
    """This machine, or this moment, does not allow the fault; the text says why."""


def kill(pid: int) -> bool:
    """Kill a process with no warning; return whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def counts_alone(pid: int, spool: Path) -> bool:
    """Return whether what a process counted is in its memory alone: it has begun, and its spool's disk had no room
    for its account. A kill would take that with it."""
    try:
        held = [Path(file.path) for file in psutil.Process(pid).open_files()]
    except psutil.NoSuchProcess:
        return False
    names = {path.name for path in held if path.is_relative_to(spool)}
    return bool(names) and FILE not in names


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process where it stands, as a debugger, a hypervisor or a machine out of memory does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def cut(proxy: Proxy, mode: Mode) -> Iterator[None]:
    """Have the network between golive and its store `hang`, `refuse`, `reset`, be `slow`, or lose a commit
    or its answer."""
    proxy.mode = mode
    try:
        yield
    finally:
        proxy.mode = "pass"


@contextmanager
def database_away(server: PostgresServer, how: Literal["stop", "kill"] = "stop") -> Iterator[None]:
    """Stop PostgreSQL in good order, or kill every process of it; start it again at the end."""
    if how == "stop":
        server.stop()
    else:
        server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def rows_locked(url: str) -> Iterator[None]:
    """Hold the table of events locked: every `COPY` into it that begins now waits in its middle.

    Raises:
        Impossible: Others have it for so long.
    """
    with psycopg.connect(_plain(url)) as connection:
        # The lock waits for those that write, behind which others would wait: not for long.
        connection.execute("SET lock_timeout = '5s'")
        try:
            connection.execute("LOCK TABLE kpi_event IN EXCLUSIVE MODE")
        except psycopg.errors.LockNotAvailable as error:
            raise Impossible("the table is busy") from error
        yield
        with contextlib.suppress(psycopg.OperationalError):  # the server may have been ended meanwhile
            connection.rollback()


def copying(url: str) -> bool:
    """Return whether a `COPY` is under way in this database."""
    with psycopg.connect(_plain(url)) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE 'COPY%'"
        ).fetchone()
    return found is not None and found[0] > 0


@contextmanager
def database_away_in_a_copy(
    server: PostgresServer, url: str, how: Literal["stop", "kill"] = "kill", patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """End PostgreSQL while golive is in the middle of a `COPY`; start it again at the end.

    Raises:
        Impossible: Nothing was written for so long; the database is as it was.
    """
    with contextlib.ExitStack() as later:
        with rows_locked(url):
            deadline = time.monotonic() + patience_s
            while not copying(url):
                if time.monotonic() > deadline:
                    raise Impossible("nobody writes")
                time.sleep(0.01)
            later.enter_context(database_away(server, how))
        yield


@contextmanager
def no_connection_left(url: str) -> Iterator[None]:
    """Hold every connection PostgreSQL gives."""
    with contextlib.ExitStack() as connections:
        try:
            while True:
                connections.enter_context(psycopg.connect(_plain(url), autocommit=True))
        except psycopg.OperationalError as error:
            if "too many" not in str(error) and "remaining connection slots" not in str(error):
                raise
        yield


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """Mount a small file system on a folder; gone at the end, with what it held.

    Raises:
        Impossible: Only root may, and not in every container.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise Impossible(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Fill the file system of a folder (a small one!) to the last byte."""
    ballast = folder / ".ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
        yield
    finally:
        ballast.unlink(missing_ok=True)


@contextmanager
def short_files(pid: int, size: int) -> Iterator[None]:
    """Let a running process write no file beyond `size` bytes: to it, the disk is full."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def clock_off(clock: ClockFile, by_s: float) -> Iterator[None]:
    """Step the clock of the processes that watch a file, and step it back at the end."""
    before = clock.offset_s()
    clock.set(before + by_s)
    try:
        yield
    finally:
        clock.set(before)


def damage_a_spool(store_folder: Path, chance: random.Random) -> list[KpiEvent]:
    """Flip a bit in a few undelivered lines of a dead process's spool, and return the events those held.

    They are lost, and golive has to say so: they are discarded as `corrupt`, and kept in `quarantine.log`.

    Raises:
        Impossible: No dead process has left anything.
    """
    for lock in sorted(store_folder.glob("[0-9a-f]*/lock")):
        with contextlib.suppress(OSError), lock.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held: nobody delivers it meanwhile
            if not os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                continue
            damaged = _damage(lock.parent, file.read(), chance)
            if damaged:
                return damaged
    raise Impossible("no dead process has left anything")


def _damage(folder: Path, note: bytes, chance: random.Random) -> list[KpiEvent]:
    reached = tuple(int(word) for word in note.split()) or (0, 0)
    damaged: list[KpiEvent] = []
    for segment in sorted(folder.glob("[0-9]*.log")):
        if int(segment.stem) < reached[0]:
            continue
        start = reached[1] if int(segment.stem) == reached[0] else 0
        content = bytearray(segment.read_bytes())
        found = _intact_lines(bytes(content), start)
        for offset, line in chance.sample(found, min(_DAMAGED - len(damaged), len(found))):
            place = offset + chance.randrange(9, len(line))
            flipped = content[place] ^ 1
            if flipped == 0x0A:
                continue
            content[place] = flipped
            damaged.append(from_json(line[9:]))
        with segment.open("r+b") as file:
            file.write(content)
    return damaged


def _intact_lines(content: bytes, start: int) -> list[tuple[int, bytes]]:
    found, offset = [], start
    for line in content[start:].split(b"\n")[:-1]:
        with contextlib.suppress(ValueError):
            if int(line[:8], 16) == zlib.crc32(line[9:]):
                found.append((offset, line))
        offset += len(line) + 1
    return found


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")
