"""The audit chain: what SQL does to it is found, and named."""

import datetime as dt
import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golive import audit, database, governance
from golive.correlation import correlation
from golive.errors import SchemaError
from golive.models.base import utc_now
from golive.runbook import build_runbook


def append(store: str, **given_: Any) -> None:
    with governance.acting(store) as connection:
        audit.append(connection, **({"actor": "ops", "action": "test.act", "reason": "r"} | given_))


def execute(store: str, *statements: str) -> None:
    with governance.engine_for(store).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def chain(store: str) -> str:
    """A store with a chain of five acts."""
    for number in range(5):
        append(store, after={"number": number, "on": number % 2 == 0})
    return store


def test_an_intact_chain_is_verified_and_the_result_noted(chain: str) -> None:
    found = audit.verify(chain)
    assert (found.ok, found.rows) == (True, 5)
    with governance.reading(chain) as connection:
        rows, verified, last = audit.last_verification(connection)
    assert (rows, verified) == (5, 5)
    assert last is not None
    assert last.ok


def test_an_empty_chain_is_intact(store: str) -> None:
    assert audit.verify(store).ok


ALTERATIONS = {
    "actor": "'mallory'",
    "action": "'x'",
    "target": "'x'",
    "ok": "NOT ok",
    "before": "'{}'",
    "after": "'{\"number\":2}'",
    "reason": "'another'",
    "correlation_id": "'deal_1'",
    "trace_id": "'00000000000000000000000000000001'",
    "created_at": "'2020-01-01 00:00:00.000000'",
    "prev_hash": "'x'",
    "hash": "'x'",
}


def test_altering_any_column_is_found_and_the_row_named(chain: str) -> None:
    execute(chain, "CREATE TABLE kept AS SELECT * FROM governance_audit")
    restore = ("DELETE FROM governance_audit", "INSERT INTO governance_audit SELECT * FROM kept")
    for column, value in ALTERATIONS.items():
        for row in (1, 3, 5):
            execute(chain, f"UPDATE governance_audit SET {column} = {value} WHERE id = {row}")
            assert audit.verify(chain).broken_id == row, column
            execute(chain, *restore)
    assert audit.verify(chain).ok


def test_deleting_a_row_is_found_and_named(chain: str) -> None:
    execute(chain, "CREATE TABLE kept AS SELECT * FROM governance_audit")
    for row in (1, 2, 4, 5):
        execute(chain, f"DELETE FROM governance_audit WHERE id = {row}")
        found = audit.verify(chain)
        assert found.broken_id == row
        assert "missing" in str(found.problem)
        execute(chain, f"INSERT INTO governance_audit SELECT * FROM kept WHERE id = {row}")
    assert audit.verify(chain).ok


def test_deleting_every_row_is_found(chain: str) -> None:
    execute(chain, "DELETE FROM governance_audit")
    assert audit.verify(chain).broken_id == 1


def test_reordering_is_found(chain: str) -> None:
    execute(
        chain,
        "UPDATE governance_audit SET id = 100 WHERE id = 2",
        "UPDATE governance_audit SET id = 2 WHERE id = 3",
        "UPDATE governance_audit SET id = 3 WHERE id = 100",
    )
    assert audit.verify(chain).broken_id == 2


def test_a_row_added_by_hand_is_found(chain: str) -> None:
    execute(
        chain,
        "INSERT INTO governance_audit (id, actor, action, ok, prev_hash, hash, created_at) "
        "SELECT 6, 'mallory', 'x', ok, hash, 'h', created_at FROM governance_audit WHERE id = 5",
    )
    assert audit.verify(chain).broken_id == 6


def test_a_broken_chain_blocks_the_runbook_and_names_the_row(chain: str) -> None:
    execute(chain, "UPDATE governance_audit SET reason = 'x' WHERE id = 4")
    [report] = [check for check in build_runbook(chain)["blockers"] if check["id"] == "audit_chain_intact"]
    assert "row 4" in report["message"]
    assert report["detail"]["broken_id"] == 4


def test_damage_beyond_the_tail_is_remembered_from_the_last_verification(store: str) -> None:
    with governance.acting(store) as connection:
        for _ in range(150):
            audit.append(connection, actor="a", action="x")
    execute(store, "UPDATE governance_audit SET reason = 'x' WHERE id = 7")
    assert audit.verify(store).broken_id == 7
    [report] = [check for check in build_runbook(store)["blockers"] if check["id"] == "audit_chain_intact"]
    assert "row 7" in report["message"]


@pytest.mark.parametrize("column", ["created_at", "before", "after"])
def test_a_value_that_is_none_of_its_column_is_found_and_the_row_named(sqlite_url: str, column: str) -> None:
    database.upgrade(database.normalise_url(sqlite_url))
    for _ in range(5):
        append(sqlite_url)
    execute(sqlite_url, f"UPDATE governance_audit SET {column} = 'x' WHERE id = 3")
    assert audit.verify(sqlite_url).broken_id == 3
    [report] = [
        check for check in build_runbook(sqlite_url)["blockers"] if check["id"] == "audit_chain_intact"
    ]
    assert "row 3" in report["message"]


def test_a_chain_cut_short_with_its_head_is_found_if_more_of_it_was_verified(chain: str) -> None:
    assert audit.verify(chain).ok
    execute(
        chain,
        "DELETE FROM governance_audit WHERE id > 3",
        "UPDATE governance_audit_head SET last_id = 3, "
        "last_hash = (SELECT hash FROM governance_audit WHERE id = 3)",
    )
    assert audit.verify(chain).broken_id == 4


def test_a_verification_from_the_future_counts_for_nothing(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with governance.acting(store) as connection:
        for _ in range(150):
            audit.append(connection, actor="a", action="x")
    with monkeypatch.context() as clock:
        clock.setattr(audit, "utc_now", lambda: utc_now() + dt.timedelta(days=400))
        assert audit.verify(store).ok
    [report] = [check for check in build_runbook(store)["blockers"] if check["id"] == "audit_chain_intact"]
    assert "was not verified" in report["message"]


def test_without_its_head_nothing_is_appended(chain: str) -> None:
    execute(chain, "DELETE FROM governance_audit_head")
    with pytest.raises(SchemaError):
        append(chain)
    assert audit.verify(chain).broken_id == 6


def test_an_act_carries_the_correlation_id_in_force(store: str) -> None:
    with correlation("deal_7"):
        append(store)
    with governance.reading(store) as connection:
        assert audit.entries(connection, limit=1)[0].correlation_id == "deal_7"


def test_acts_of_many_threads_form_one_chain(store: str) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(5):
                append(store)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert audit.verify(store).rows == 20


def test_an_act_that_fails_leaves_no_trace(store: str) -> None:
    with pytest.raises(ZeroDivisionError), governance.acting(store) as connection:
        audit.append(connection, actor="a", action="x")
        raise ZeroDivisionError
    found = audit.verify(store)
    assert (found.ok, found.rows) == (True, 0)


def test_entries_are_narrowed_by_who_what_when_and_whether_it_was_done(store: str) -> None:
    for actor, action, target, ok in (
        ("ann", "risk_policy.upsert", "A/m", True),
        ("bob", "risk_policy.throttle", "A/m", False),
        ("ann", "riskXpolicy.upsert", "B", True),
        ("ann", "risk_policy", None, True),
    ):
        append(store, actor=actor, action=action, target=target, ok=ok)
    now = utc_now()

    def ids(**wanted: Any) -> list[int]:
        with governance.reading(store) as connection:
            return [entry.id for entry in audit.entries(connection, limit=10, **wanted)]

    assert ids(actor="ann") == [4, 3, 1]
    assert ids(action="risk_policy") == [4, 2, 1]
    assert ids(action="risk_policy.upsert") == [1]
    assert ids(target="A/m", ok=True) == [1]
    assert ids(ok=False) == [2]
    assert ids(until=now, before_id=3) == [2, 1]
    assert ids(until=now - dt.timedelta(days=1)) == ids(since=now + dt.timedelta(days=1)) == []


def test_entries_come_by_pages(chain: str) -> None:
    with governance.reading(chain) as connection:
        first = audit.entries(connection, limit=2)
        second = audit.entries(connection, limit=2, before_id=first[-1].id)
        none = audit.entries(connection, limit=2, since=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    assert [entry.id for entry in [*first, *second]] == [5, 4, 3, 2]
    assert none == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(dt.UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "é"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=JSON, after=JSON)
def test_whatever_json_an_act_has_both_databases_give_back_what_was_hashed(
    store: str, before: Any, after: Any
) -> None:
    append(store, before=before, after=after)
    assert audit.verify(store).ok


def test_exact_amounts_stay_exact(store: str) -> None:
    append(store, after={"limit": Decimal("250.10")})
    with governance.reading(store) as connection:
        assert audit.entries(connection, limit=1)[0].after == {"limit": "250.10"}
