"""`kpi_timed_step`: context manager, sync and async, and decorator; its row, its span, its exception."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from golive.kpi import kpi_timed_step
from tests.contract.conftest import Golive


def detail(row: Any) -> Any:
    import json

    return json.loads(row.detail) if isinstance(row.detail, str) else row.detail


def test_a_step_that_ends_is_a_success_with_its_duration(golive: Golive) -> None:
    with kpi_timed_step(None, "W", "step", actor="matcher", detail={"round": 1}) as step:
        time.sleep(0.02)
        step.value = 3
    (row,) = golive.rows()
    assert (row.success, row.value, row.actor, detail(row)) == (True, 3.0, "matcher", {"round": 1})
    assert 20 <= row.duration_ms < 2_000


def test_an_exception_is_a_failure_and_goes_on_untouched(golive: Golive) -> None:
    error = LookupError("no match for password=hunter2")
    with pytest.raises(LookupError) as raised, kpi_timed_step(None, "W", "step") as step:
        step.detail = {"tried": 3}
        raise error
    assert raised.value is error
    (row,) = golive.rows()
    assert row.success is False or row.success == 0
    assert detail(row) == {"tried": 3, "error": "LookupError", "message": "no match for password=[redacted]"}
    (span,) = golive.spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    (recorded,) = span.events
    assert recorded.name == "exception"
    assert (recorded.attributes or {})["exception.type"] == "LookupError"
    assert "hunter2" not in span.to_json()


def test_fail_is_a_failure_without_an_exception(golive: Golive) -> None:
    with kpi_timed_step(None, "W", "step") as step:
        step.fail("buyer declined")
    (row,) = golive.rows()
    assert not row.success
    assert detail(row) == {"reason": "buyer declined"}
    assert golive.spans.get_finished_spans()[0].status.status_code is StatusCode.ERROR


def test_a_value_that_is_none_does_not_undo_the_step(golive: Golive) -> None:
    with kpi_timed_step(None, "W", "step") as step:
        step.value = float("nan")
    (row,) = golive.rows()
    assert row.success
    assert row.value is None
    assert "finite" in detail(row)["value_refused"]


@pytest.mark.parametrize("cause", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_a_cancelled_step_has_an_error_status_and_no_success(
    golive: Golive, cause: type[BaseException]
) -> None:
    with pytest.raises(cause), kpi_timed_step(None, "W", "step"):
        raise cause
    (row,) = golive.rows()
    assert (row.success, row.value) == (None, None)
    assert detail(row) == {"cancelled": cause.__name__}
    assert golive.spans.get_finished_spans()[0].status.status_code is StatusCode.ERROR
    assert golive.counter() == {("W", "step", "cancelled"): 1}


def test_a_task_that_is_cancelled_is_one_row(golive: Golive) -> None:
    async def work() -> None:
        async with kpi_timed_step(None, "W", "step"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert [(row.success, row.value) for row in golive.rows()] == [(None, None)]


def test_a_decorated_function_is_a_step_at_each_call(golive: Golive) -> None:
    @kpi_timed_step(None, "W", "fibonacci")
    def fibonacci(n: int) -> int:
        """Return a number of Fibonacci's."""
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(5) == 5
    assert fibonacci.__name__ == "fibonacci"
    rows = golive.rows()
    assert len(rows) == 15
    assert all(row.success for row in rows)


def test_a_decorated_coroutine_is_timed_while_it_runs(golive: Golive) -> None:
    @kpi_timed_step(None, "W", "fetch")
    async def fetch(number: int) -> int:
        await asyncio.sleep(0.02)
        if number == 2:
            raise LookupError
        return number

    async def main() -> list[Any]:
        return await asyncio.gather(*(fetch(number) for number in range(4)), return_exceptions=True)

    assert asyncio.run(main())[3] == 3
    rows = golive.rows()
    assert sorted(bool(row.success) for row in rows) == [False, True, True, True]
    assert all(row.duration_ms >= 20 for row in rows)


def test_a_generator_cannot_be_decorated_and_says_so() -> None:
    with pytest.raises(TypeError, match="is a generator"):

        @kpi_timed_step(None, "W", "step")
        def numbers() -> Iterator[int]:
            yield 1


def test_one_step_cannot_run_twice_at_once(golive: Golive) -> None:
    step = kpi_timed_step(None, "W", "step")
    with step, pytest.raises(RuntimeError, match="running already"), step:
        pass
    with step:
        pass
    assert len(golive.rows()) == 2
