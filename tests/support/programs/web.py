"""A web application: every request records, does its work, and records again.

    uvicorn web:app          as ASGI, with golive's middleware
    gunicorn web:wsgi        as WSGI

`/metrics` shows what all processes recorded, whichever answers.

With ACKNOWLEDGED in the environment each process notes there, in a file of its own, what was acknowledged.
What is emitted at import is emitted by the parent where gunicorn preloads.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry

from golive.asgi import CorrelationMiddleware
from golive.exporters.prometheus import KpiCollector, render
from golive.kpi import kpi_success, kpi_timed_step

_numbers = itertools.count()


def _record(metric: str) -> None:
    correlation_id = f"{os.getpid()}-{next(_numbers)}"
    if metric == "step":
        with kpi_timed_step(None, "WEB", metric, correlation_id=correlation_id):
            pass
    else:
        kpi_success(None, "WEB", metric, correlation_id=correlation_id)
    path = os.path.join(os.environ["ACKNOWLEDGED"], str(os.getpid()))
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{correlation_id}\n".encode())
    os.close(file)


def _metrics() -> bytes:
    registry = CollectorRegistry()
    registry.register(KpiCollector())
    return render(registry, "")[0]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/metrics":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [_metrics()]
    _record("begun")
    time.sleep(0.01)
    _record("step")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def _application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = str(os.getpid()).encode()
    if scope["path"] == "/metrics":
        body = _metrics()
    else:
        _record("begun")
        await asyncio.sleep(0.2 if scope["path"] == "/slow" else 0.01)
        _record("step")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


app: Any = CorrelationMiddleware(_application)

for _ in range(int(os.environ.get("EMIT_AT_IMPORT", "0"))):
    _record("imported")
