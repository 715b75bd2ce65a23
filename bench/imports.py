"""How long `import golive.kpi` takes, against the OpenTelemetry SDK and SQLAlchemy; whole processes."""

import subprocess
import sys
import time

from bench._rounds import compare

ROUNDS = 11
_THEIRS = "import opentelemetry.sdk.trace, opentelemetry.sdk.metrics, opentelemetry.sdk._logs, sqlalchemy"


def seconds(program: str) -> float:
    """Return the whole process's time less that of an interpreter that does nothing."""

    def timed(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - started

    return timed(program) - timed("pass")


def main() -> list[str]:
    result = compare(lambda: seconds("import golive.kpi"), lambda: seconds(_THEIRS), ROUNDS)
    return [
        f"| `import golive.kpi` | {result.ours * 1e3:.0f} ms | the OpenTelemetry SDK and SQLAlchemy "
        f"| {result.theirs * 1e3:.0f} ms | {result.ratio:.2f} | at most 1.5 |"
    ]
