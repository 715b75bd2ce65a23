"""The command line as a user runs it: a process of its own."""

import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "golive.cli"]


def golive(
    *arguments: str | Path, cwd: Path, environment: dict[str, str], check: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run `golive …`; fails unless it ends with the exit code `check` (None: any)."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert check is None or done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done
