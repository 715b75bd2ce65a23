"""`kpi_timed_step`: context manager, sync and async, and decorator; its row, its span, its exception."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from golive.kpi import kpi_timed_step
from tests.contract.conftest import Golive
from tests.support.deals import Deal


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


class Attributes(Mapping[str, Any]):
    """A deal's, each read from the database when it is asked for."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def __getitem__(self, key: str) -> Any:
        return getattr(self._db.get_one(Deal, 1), key)

    def __iter__(self) -> Iterator[str]:
        return iter(["name"])

    def __len__(self) -> int:
        return 1


def test_a_detail_that_cannot_be_read_any_more_hides_neither_the_error_nor_the_failure(
    golive: Golive,
) -> None:
    with Session(golive.engine) as db:
        db.add(Deal(id=1, name="one"))
        db.commit()
        with (
            pytest.raises(IntegrityError),
            kpi_timed_step(db, "W", "step", detail=Attributes(db)) as step,
        ):
            step.value = 3
            db.add(Deal(id=2, name="one"))
            db.flush()
    (row,) = golive.rows()
    assert (bool(row.success), row.value) == (False, 3)
    assert detail(row)["error"].endswith("IntegrityError")
    assert detail(row)["detail"] == {"unstorable": "Attributes", "error": "PendingRollbackError"}


class Hostile(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise LookupError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_neither_a_detail_nor_a_value_that_raises_undoes_a_step(golive: Golive) -> None:
    with kpi_timed_step(None, "W", "step") as step:
        step.detail = Hostile()
        step.value = Hostile()  # type: ignore[assignment]
        step.fail("low confidence")
    (row,) = golive.rows()
    assert not row.success
    assert row.value is None
    assert detail(row)["reason"] == "low confidence"
    assert detail(row)["detail"] == {"unstorable": "Hostile", "error": "RuntimeError"}
    assert "Hostile" in detail(row)["value_refused"]


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
