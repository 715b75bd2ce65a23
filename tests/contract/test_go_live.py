"""The go-live state and the kill switch."""

import threading
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from golive import audit, database, go_live, governance
from golive.errors import Blocked, InvalidArgument, SchemaError, VersionConflict
from golive.runbook import build_runbook


def acts(store: str) -> list[audit.Entry]:
    with governance.reading(store) as connection:
        return audit.entries(connection, limit=100)


def test_everything_is_off_at_first(store: str) -> None:
    state = go_live.read(store)
    assert (state.go_live_enabled, state.kill_switch_engaged, state.version) == (False, False, 1)
    assert not state.allows_production


def test_enabling_says_who_and_why_and_is_audited(production: str) -> None:
    state = go_live.enable(production, actor="ops", reason=" week 1 ", version=1)
    assert (state.go_live_enabled, state.changed_by, state.reason, state.version) == (
        True, "ops", "week 1", 2,
    )  # fmt: skip
    assert go_live.read(production) == state
    [act] = acts(production)
    assert (act.actor, act.action, act.ok, act.reason) == ("ops", "go_live.enable", True, "week 1")
    assert (act.before["go_live_enabled"], act.after["go_live_enabled"]) == (False, True)
    assert go_live.disable(production, actor="ops", reason="done").version == 3


def test_enabling_with_a_blocker_changes_nothing_and_the_attempt_is_audited(store: str) -> None:
    before = go_live.read(store)
    with pytest.raises(Blocked) as refused:
        go_live.enable(store, actor="ops", reason="week 1")
    assert "env_sanity" in {blocker["id"] for blocker in refused.value.blockers}
    assert go_live.read(store) == before
    [act] = acts(store)
    assert (act.ok, act.actor, act.action) == (False, "ops", "go_live.enable")
    assert "env_sanity" in act.after["blockers"]


def test_the_kill_switch_beats_everything(production: str) -> None:
    go_live.enable(production, actor="ops", reason="week 1")
    state = go_live.engage_kill_switch(production, actor="ops", reason="offers go out twice")
    assert state.go_live_enabled
    assert not state.allows_production
    with pytest.raises(Blocked):
        go_live.enable(production, actor="ops", reason="again")
    assert go_live.release_kill_switch(production, actor="ops", reason="mended").allows_production


def test_the_kill_switch_needs_neither_runbook_nor_row(store: str) -> None:
    with governance.engine_for(store).begin() as connection:
        connection.execute(text("DELETE FROM go_live_state"))
        connection.execute(text("DELETE FROM risk_policy"))
    assert go_live.read(store) == go_live.State(False, False, None, None, 0, None)
    assert go_live.engage_kill_switch(store, actor="ops", reason="now").kill_switch_engaged
    assert go_live.read(store).kill_switch_engaged


def test_a_deadline_of_months_keeps_nobody_from_the_kill_switch(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", "10000000")
    assert go_live.engage_kill_switch(store, actor="ops", reason="now").kill_switch_engaged


def test_a_kill_switch_whose_transaction_sqlite_undid_is_not_said_to_be_engaged(sqlite_store: str) -> None:
    with governance.acting(sqlite_store) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER disk_full BEFORE INSERT ON governance_audit "
            "BEGIN SELECT RAISE(ROLLBACK, 'as some errors of a disk do'); END"
        )
    with pytest.raises(SQLAlchemyError):
        go_live.engage_kill_switch(sqlite_store, actor="ops", reason="offers doubled")
    assert not go_live.read(sqlite_store).kill_switch_engaged


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM governance_audit_head",
        "UPDATE governance_audit_head SET last_id = last_id - 1",  # as after a restore of some tables only
        "UPDATE governance_audit_head SET last_id = 9223372036854775807",
    ],
)
def test_no_damage_to_the_audit_trail_keeps_the_kill_switch_from_working(store: str, damage: str) -> None:
    go_live.engage_kill_switch(store, actor="ops", reason="now")
    go_live.release_kill_switch(store, actor="ops", reason="mended")
    with governance.engine_for(store).begin() as connection:
        connection.execute(text(damage))
    with pytest.raises((SchemaError, DBAPIError, OverflowError)):
        go_live.disable(store, actor="ops", reason="week 2")
    assert go_live.engage_kill_switch(store, actor="ops", reason="again").kill_switch_engaged
    assert go_live.read(store).kill_switch_engaged
    blockers = {check["id"] for check in build_runbook(store)["blockers"]}
    assert {"kill_switch_clear", "audit_chain_intact"} <= blockers


@pytest.mark.parametrize("revision", ["0001", "0005"])
def test_a_migration_that_is_due_keeps_the_kill_switch_from_nothing(store: str, revision: str) -> None:
    with governance.engine_for(store).begin() as connection:
        connection.execute(text(f"UPDATE {database.VERSION_TABLE} SET version_num = '{revision}'"))
    assert go_live.engage_kill_switch(store, actor="ops", reason="now").kill_switch_engaged
    assert go_live.read(store).kill_switch_engaged


def test_a_switch_engaged_after_the_runbook_was_read_still_wins(production: str, monkeypatch: Any) -> None:
    from golive import runbook

    def engaged_meanwhile(db: object) -> Any:
        found = runbook.Runbook(
            generated_at="", ok_to_enable_go_live=True, verdict="pass", blockers=[], warnings=[], info=[]
        )
        go_live.engage_kill_switch(db, actor="other", reason="now")
        return found

    monkeypatch.setattr("golive.go_live.runbook.build_runbook", engaged_meanwhile)
    with pytest.raises(Blocked) as blocked:
        go_live.enable(production, actor="ops", reason="week 1")
    assert not go_live.read(production).go_live_enabled
    assert blocked.value.blockers == build_runbook(production)["blockers"]
    refused = acts(production)[0]
    assert (refused.actor, refused.ok, refused.after) == ("ops", False, {"blockers": ["kill_switch_clear"]})


@pytest.mark.parametrize("act", [go_live.enable, go_live.disable, go_live.release_kill_switch])
def test_a_stale_version_loses(production: str, act: Any) -> None:
    go_live.engage_kill_switch(production, actor="a", reason="r")
    go_live.release_kill_switch(production, actor="a", reason="r")
    with pytest.raises(VersionConflict) as conflict:
        act(production, actor="ops", reason="r", version=1)
    assert conflict.value.version == 3
    assert go_live.read(production).version == 3
    assert act(production, actor="ops", reason="r", version=3).version == 4


def test_of_two_at_once_one_wins(production: str) -> None:
    outcomes: list[str] = []

    def work(name: str) -> None:
        try:
            go_live.enable(production, actor=name, reason="r", version=1)
            outcomes.append("won")
        except VersionConflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost", "lost", "lost", "won"]
    assert go_live.read(production).version == 2
    tried = sorted((entry.ok, entry.after["version"]) for entry in acts(production))
    assert tried == [(False, 2), (False, 2), (False, 2), (True, 2)]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("actor", ""), ("actor", "x" * 129), ("actor", "a\nb"), ("actor", None), ("reason", " "),
     ("reason", "x" * 2001), ("reason", "a\x00"), ("reason", "\ud800"), ("reason", 7)],
)  # fmt: skip
def test_who_and_why_are_checked(store: str, field: str, wrong: Any) -> None:
    arguments: dict[str, Any] = {"actor": "ops", "reason": "r"} | {field: wrong}
    with pytest.raises(InvalidArgument, match=field):
        go_live.engage_kill_switch(store, **arguments)
    assert not go_live.read(store).kill_switch_engaged


def test_an_act_is_not_undone_by_the_callers_rollback(store: str) -> None:
    engine = create_engine(database.normalise_url(store))
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        go_live.engage_kill_switch(session, actor="ops", reason="now")
        session.rollback()
    engine.dispose()
    assert go_live.read(store).kill_switch_engaged


def test_without_tables_the_error_names_the_remedy(postgres_url: str) -> None:
    with pytest.raises(SchemaError, match="golive db upgrade"):
        go_live.engage_kill_switch(postgres_url, actor="ops", reason="now")
    assert not go_live.checklist(postgres_url).ok


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="db"):
        go_live.read(3)
