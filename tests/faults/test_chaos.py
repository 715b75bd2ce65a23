"""A short run of random faults: what `make chaos` does for half an hour."""

import os
import subprocess
import sys
from pathlib import Path

from tests.faults.fleet import ROOT


def test_no_promise_is_broken_by_random_faults(tmp_path: Path) -> None:
    environment = os.environ | {"CHAOS_SEED": "8", "CHAOS_SECONDS": "20", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.chaos"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
