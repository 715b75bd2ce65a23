"""E9: one id for every action of a deal, across functions, threads of control and services."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from golive.asgi import CorrelationMiddleware
from golive.correlation import correlation, current_correlation_id, outgoing_headers
from golive.errors import InvalidEvent
from golive.kpi import kpi_success, kpi_timed_step
from tests.contract.conftest import Golive
from tests.support.stores import one_store

ROOT = Path(__file__).parents[2]


def test_events_inside_inherit_the_id(golive: Golive) -> None:
    with correlation("deal_1") as given:
        assert given == "deal_1" == current_correlation_id()
        kpi_success(None, "W", "inherited")
        kpi_success(None, "W", "own", correlation_id="deal_2")
        with kpi_timed_step(None, "W", "step", correlation_id="deal_3"):
            kpi_success(None, "W", "in_step")
    assert current_correlation_id() is None
    kpi_success(None, "W", "outside")
    assert {row.metric: row.correlation_id for row in golive.rows()} == {
        "inherited": "deal_1",
        "own": "deal_2",
        "in_step": "deal_3",
        "step": "deal_3",
        "outside": None,
    }


def test_every_span_inside_carries_the_id(golive: Golive) -> None:
    tracer = golive.tracer_provider.get_tracer("business")
    with kpi_timed_step(None, "W", "step", correlation_id="deal_1"), tracer.start_as_current_span("query"):
        pass
    with tracer.start_as_current_span("outside"):
        pass
    carried = {
        span.name: (span.attributes or {}).get("golive.correlation_id")
        for span in golive.spans.get_finished_spans()
    }
    assert carried == {"query": "deal_1", "kpi W.step": "deal_1", "outside": None}
    step, query = (
        next(s for s in golive.spans.get_finished_spans() if s.name == name)
        for name in ("kpi W.step", "query")
    )
    assert query.parent is not None
    assert step.context is not None
    assert query.parent.span_id == step.context.span_id


def test_tasks_do_not_see_each_others_id(golive: Golive) -> None:
    async def deal(number: int) -> None:
        with correlation(f"deal_{number}"):
            await asyncio.sleep(0.001 * (number % 3))
            kpi_success(None, "W", f"m{number}")

    async def main() -> None:
        await asyncio.gather(*(deal(number) for number in range(20)))

    asyncio.run(main())
    assert all(row.correlation_id == f"deal_{row.metric[1:]}" for row in golive.rows())


def test_a_fresh_id_is_made_where_none_is_given() -> None:
    with correlation() as one, correlation("") as two:
        assert len(one) == len(two) == 32
        assert one != two


@pytest.mark.parametrize("bad", ["x" * 129, "a\nb", 7])
def test_an_id_of_the_codes_own_making_must_be_right(bad: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"^correlation_id"), correlation(bad):
        pass


def test_outgoing_headers_carry_it() -> None:
    with correlation("deal ünï"):
        assert outgoing_headers()["baggage"] == "golive.correlation_id=deal+%C3%BCn%C3%AF"


async def _seen_by_app(headers: dict[str, str]) -> tuple[str | None, str]:
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_correlation_id())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(CorrelationMiddleware(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/", headers=headers)
    return seen[0], response.headers["X-Correlation-ID"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Correlation-ID": "deal_1"}, "deal_1"),
        ({"baggage": "golive.correlation_id=deal_2"}, "deal_2"),
        ({"baggage": "golive.correlation_id=deal_2", "X-Correlation-ID": "deal_1"}, "deal_2"),
        ({"X-Correlation-ID": "x" * 128}, "x" * 128),
    ],
)
def test_an_incoming_id_is_taken_and_answered(headers: dict[str, str], expected: str) -> None:
    assert asyncio.run(_seen_by_app(headers)) == (expected, expected)


@pytest.mark.parametrize("bad", ["x" * 129, "tab\there", "caf\xe9\x85"])
def test_an_incoming_id_not_to_be_trusted_is_replaced_and_noted(
    bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen, answered = asyncio.run(_seen_by_app({"X-Correlation-ID": bad.encode("latin-1")}))  # type: ignore[dict-item]
    assert seen == answered
    assert len(answered) == 32
    assert "was replaced" in caplog.text


def test_without_any_the_request_gets_a_fresh_id() -> None:
    seen, answered = asyncio.run(_seen_by_app({}))
    assert seen == answered
    assert len(answered) == 32


class Service:
    """A real HTTP service in a process of its own."""

    def __init__(self, program: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.contract.programs.{program}"],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def services(store: Any, environment: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    from golive.database import normalise_url

    environment["DATABASE_URL"] = normalise_url(store).render_as_string(hide_password=False)
    environment["SPANS"] = str(tmp_path / "back.jsonl")
    back = Service("back_service", environment)
    front = Service(
        "front_service",
        {**environment, "BACK_URL": back.url, "SPANS": str(tmp_path / "front.jsonl")},
    )
    yield front
    front.stop()
    back.stop()


@one_store
def test_an_id_crosses_two_services(services: Service, store: Any, tmp_path: Path) -> None:
    """Header in at the first, baggage from the first to the second; spans and rows of both carry it."""
    from golive.database import normalise_url

    response = httpx.post(f"{services.url}/offer", headers={"X-Correlation-ID": "deal_42"}, timeout=30)
    assert response.status_code == 200
    assert response.headers["X-Correlation-ID"] == "deal_42"
    engine = create_engine(normalise_url(store))
    deadline = time.monotonic() + 20
    found: list[Any] = []
    while time.monotonic() < deadline and len(found) < 3:
        time.sleep(0.1)
        with engine.connect() as connection:
            found = list(
                connection.execute(text("SELECT domain, metric, correlation_id, trace_id FROM kpi_event"))
            )
    engine.dispose()
    assert sorted((row.domain, row.metric) for row in found) == [
        ("BACK", "priced"), ("FRONT", "offer"), ("FRONT", "offer_sent")
    ]  # fmt: skip
    assert {row.correlation_id for row in found} == {"deal_42"}
    assert len({row.trace_id for row in found}) == 1
    for name in ("front", "back"):
        spans = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        assert len(spans) >= 1
        assert all("deal_42" in span for span in spans)
