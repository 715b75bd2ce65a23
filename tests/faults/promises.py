"""What golive promises, as checks that must hold after any fault; each fails with what is broken.

They look at what a store holds (`Machine.rows`), at what golive counted (`Machine.counted`), and at what the
programs of a test were told: the events, bookings and acts whose calls returned.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, select, text

from golive import audit, governance, host_account, regression
from golive.models import RiskReservation
from golive.names import DISCARD_CORRUPT
from golive.regression.acts import ACTOR
from golive.risk import GLOBAL, policies
from golive.state import read_from
from tests.faults.machine import Machine, Stored

FEW = 5
"""So many of what is wrong are named."""

_TRIP, _REARM = "regression_state.trip", "regression_state.rearm"
_ACTS = {regression.THROTTLE: "risk_policy.throttle", regression.KILL_SWITCH: "kill_switch.engage"}

_RESERVED = ("id", "engine", "amount", "idempotency_key", "status", "realized_loss")


class Booking(NamedTuple):
    """A reservation as its booker was told of it.

    Attributes:
        status: `open`, `settled` or `released`: the last that was acknowledged.
        in_doubt: Whether a call about it was made and got no answer: it may have gone further.
    """

    id: int
    engine: str
    amount: Decimal
    key: str | None = None
    status: str = "open"
    loss: Decimal | None = None
    in_doubt: bool = False


class Act(NamedTuple):
    """An act of governance: its action in the audit trail, the reason, which no other act has, and whether
    its call returned."""

    action: str
    reason: str
    acknowledged: bool


def every_acknowledged_event_is_a_row(
    rows: Iterable[Stored], told: Mapping[str, str], damaged: Collection[str] = ()
) -> None:
    """Check E4: what a helper acknowledged is there, with the id that it returned.

    Args:
        rows: All there are.
        told: The event's id (empty where none was returned) by the correlation id.
        damaged: Correlation ids of what the test itself destroyed in a spool.
    """
    by_correlation = {row.correlation_id: row for row in rows}
    _none("acknowledged, and lost", told.keys() - by_correlation.keys() - set(damaged))
    # Two processes may have picked one id; then one of the events got another of its millisecond.
    _none(
        "under another id than was returned",
        (
            correlation_id
            for correlation_id, event_id in told.items()
            if event_id
            and correlation_id in by_correlation
            and by_correlation[correlation_id].id >> 20 != int(event_id) >> 20
        ),
    )


def no_event_is_there_twice(rows: Iterable[Stored]) -> None:
    """Check E5: each event, whose correlation id and metric no other has, is one row."""
    found = Counter((row.domain, row.metric, row.correlation_id) for row in rows)
    _none("there twice", (event for event, times in found.items() if times > 1))


def only_what_was_done_is_there(rows: Iterable[Stored], told: Collection[str], lives: int) -> None:
    """Check that no row is of an event nobody emitted: a kill hides from the test at most the last of each
    life."""
    untold = {str(row.correlation_id) for row in rows} - set(told)
    assert len(untold) <= lives, f"{len(untold)} rows nobody was told of, after {lives} lives: {_few(untold)}"


def counters_equal_rows(machine: Machine, damaged: Mapping[tuple[str, str], int] | None = None) -> None:
    """Check E2: what golive counted, over all processes, dead ones too, are the rows.

    Args:
        machine: Whose.
        damaged: How many events of each metric the test destroyed in spools: whether they had been counted
            before depends on when their process died.
    """
    counted, written = machine.counted(), machine.written()
    lost = damaged or {}
    _none(
        "counted and written differ (counted, written)",
        (
            (series, counted[series], written[series])
            for series in counted | written
            if not written[series] <= counted[series] <= written[series] + lost.get(series, 0)
        ),
    )


def damage_is_reported(machine: Machine, damaged: Collection[str], rows: Iterable[Stored]) -> None:
    """Check that golive says of the events that are missing for it that they were damaged, and finds no damage
    where there is none.

    It may say so of one more than once: whoever puts a line aside may be killed before it can note that it has.

    Args:
        machine: Whose.
        damaged: Correlation ids of what the test destroyed in spools.
        rows: All there are.
    """
    account = host_account.read([machine.store_folder()], 400)
    said = account.discarded[DISCARD_CORRUPT].times if DISCARD_CORRUPT in account.discarded else 0
    missing = set(damaged) - {row.correlation_id for row in rows}
    assert said >= len(missing), f"{len(missing)} damaged events are missing, and {said} were reported"
    assert damaged or not said, f"nothing was damaged, and {said} events were reported"


def events_follow_their_transactions(
    rows: Iterable[Stored], committed: Iterable[str], *, held: Sequence[str], always: Sequence[str] = ()
) -> None:
    """Check E1: events held with a transaction are there if and only if it committed.

    Args:
        rows: All there are.
        committed: What the business's own table has: the correlation id of every transaction that committed.
        held: Metrics of successes and values, of which each transaction emits one.
        always: Metrics of failures, which are there whether or not it committed.
    """
    wanted, found = set(committed), list(rows)
    for metric in held:
        there = {str(row.correlation_id) for row in found if row.metric == metric}
        _none(f"committed without its {metric}", wanted - there)
        _none(f"{metric} of what was rolled back", there - wanted)
    for metric in always:
        there = {str(row.correlation_id) for row in found if row.metric == metric}
        _none(f"committed without its {metric}", wanted - there)


def ledgers_are_the_sum_of_their_events(engine: Engine) -> None:
    """Check that ledgers, the record of decisions, and reservations agree, to the cent."""
    assert by_ledgers(engine) == by_events(engine)
    assert open_risk(engine, "ledgers") == open_risk(engine, "events") == open_risk(engine, "reservations")


def no_cap_is_exceeded(engine: Engine) -> None:
    """Check the ledgers of every day against the caps: those may have been raised, but not lowered."""
    query = (
        "SELECT l.engine, exposure_used, max_daily_exposure, open_risk_reserved, max_open_risk, "
        "actions_count, max_actions_per_day FROM risk_ledger_day AS l JOIN risk_policy USING (engine)"
    )
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    _none(
        "a cap is exceeded",
        (
            tuple(row)
            for row in rows
            for used, cap in (row[1:3], row[3:5], row[5:7])
            if used < 0 or (cap is not None and used > cap)
        ),
    )


def bookings_are_as_told(engine: Engine, told: Iterable[Booking]) -> None:
    """Check the reservations against a ledger of what was acknowledged: each is there, once, and as it was
    left."""
    columns = (getattr(RiskReservation, name) for name in _RESERVED)
    with engine.connect() as connection:
        stored = {row.id: row for row in connection.execute(select(*columns))}
    _none("booked, and lost", (booking for booking in told if not _is_booked(booking, stored)))


def by_ledgers(engine: Engine) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return exposure, loss, actions and denials of each engine and day, as the ledgers have them."""
    query = (
        "SELECT engine, CAST(day AS varchar), exposure_used, realized_loss, actions_count, denials "
        "FROM risk_ledger_day"
    )
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    # A day that began for a reservation that was then refused, or killed, has figures of nothing and no event.
    return {(row[0], row[1]): tuple(map(Decimal, row[2:])) for row in rows if any(row[2:])}


def by_events(engine: Engine) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return the same as the sum of all decisions."""
    query = """
        SELECT engine, CAST(day AS varchar),
            sum(CASE action WHEN 'RESERVE' THEN amount WHEN 'RELEASE' THEN -amount ELSE 0 END),
            sum(COALESCE(realized_loss, 0)),
            sum(CASE action WHEN 'RESERVE' THEN 1 WHEN 'RELEASE' THEN -1 ELSE 0 END),
            sum(CASE action WHEN 'DENY' THEN 1 ELSE 0 END)
        FROM risk_event GROUP BY engine, day"""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    with engine.connect() as connection:
        for name, day, *figures in connection.execute(text(query)):
            sums = tuple(map(Decimal, figures))
            found[name, day] = sums
            total = found.get((GLOBAL, day), (Decimal(0),) * 4)
            found[GLOBAL, day] = tuple(map(sum, zip(total, sums, strict=True)))
    return {key: figures for key, figures in found.items() if any(figures)}


def open_risk(engine: Engine, table: str) -> dict[str, Decimal]:
    """Return the open risk of each engine, as one of the tables has it."""
    query = {
        "ledgers": "SELECT engine, open_risk_reserved FROM risk_ledger_day WHERE is_current",
        "events": "SELECT engine, sum(CASE WHEN action = 'RESERVE' THEN amount ELSE 0 END) - sum(CASE WHEN "
        "action = 'EXPIRE' OR (action IN ('SETTLE', 'RELEASE') AND NOT EXISTS (SELECT 1 FROM risk_event AS e "
        "WHERE e.action = 'EXPIRE' AND e.reservation_id = risk_event.reservation_id)) THEN amount ELSE 0 END) "
        "FROM risk_event GROUP BY engine",
        "reservations": "SELECT engine, sum(CASE status WHEN 'open' THEN amount ELSE 0 END) "
        "FROM risk_reservation GROUP BY engine",
    }[table]
    with engine.connect() as connection:
        found = {row[0]: Decimal(row[1]) for row in connection.execute(text(query))}
    return {name: amount for name, amount in found.items() if name != GLOBAL}


def every_acknowledged_act_is_in_the_trail(url: str, acts: Iterable[Act]) -> None:
    """Check that no acknowledged act is lost."""
    with governance.reading(url) as connection:
        trail = {(entry.action, entry.reason) for entry in _trail_of(connection)}
    _none("acknowledged, and not in the trail", ({act[:2] for act in acts if act.acknowledged} - trail))


def the_switch_is_as_last_told(url: str, acts: Iterable[Act]) -> None:
    """Check that the kill switch was used as told, in that order, and is as the last act left it.

    Of an act that got no answer the audit trail knows whether it was done.
    """
    with governance.snapshot(url) as connection:  # for a tripwire may use it as well
        entries = [
            entry for entry in _trail_of(connection) if entry.action.startswith("kill_switch.") and entry.ok
        ]
        state = read_from(connection)
    asked_for = Counter((entry.action, entry.reason) for entry in entries if entry.actor != ACTOR)
    _none("done twice", (act for act, times in asked_for.items() if times > 1))
    trail = [(entry.action, entry.reason) for entry in entries]
    told = [act[:2] for act in acts if act.acknowledged and act.action.startswith("kill_switch.")]
    assert [entry for entry in trail if entry in set(told)] == told, "acts are in another order than told"
    engaged = bool(trail) and trail[-1][0] == "kill_switch.engage"
    assert state.kill_switch_engaged == engaged, f"the switch is {state}, and the last act {trail[-1:]}"


def every_trip_acts_once(url: str) -> Counter[str]:
    """Check the tripwires, whose engines get back what they had when they are re-armed; return how often each
    tripped.

    One that is tripped does not trip again; each trip has its act in the trail, once, and no other act of a
    tripwire is there; latches and engines are as the trail says.
    """
    with governance.snapshot(url) as connection:  # for whoever judges the wires goes on
        tripped = {(state.domain, state.metric) for state in regression.states(connection) if state.triggered}
        wires = [policy for policy in regression.policies(connection) if policy.enabled]
        may_act = {policy.engine for policy in policies(connection) if policy.enabled}
        trail = [entry for entry in _trail_of(connection) if entry.ok]
    trips = [entry for entry in trail if entry.action == _TRIP]
    due = Counter((_ACTS[trip.after["action"]], trip.reason) for trip in trips if _acted(trip))
    done = Counter((act.action, act.reason) for act in trail if act.actor == ACTOR and act.action != _TRIP)
    _none("tripped, and did not act", due - done)
    _none("done more often than tripped", done - due)
    for policy in wires:
        wire, is_tripped = f"{policy.domain}/{policy.metric}", (policy.domain, policy.metric) in tripped
        latch = [entry.action for entry in trail if entry.target == wire and entry.action in (_TRIP, _REARM)]
        assert latch == [(_TRIP, _REARM)[place % 2] for place in range(len(latch))], f"{wire}: {latch}"
        assert is_tripped == (len(latch) % 2 == 1), f"the latch of {wire} is not as the trail says"
        if policy.action == regression.THROTTLE:
            assert (policy.domain in may_act) != is_tripped, f"{policy.domain} is not as {wire} left it"
    return Counter(str(trip.target) for trip in trips)


def nothing_is_booked_while_the_switch_is_engaged(
    bookings: Iterable[tuple[float, float]], engaged: Iterable[tuple[float, float]], grace_s: float
) -> None:
    """Check that production stood still.

    Args:
        bookings: From when (before the gate was asked) to when (after it answered) it was decided on each
            acknowledged booking, in seconds of a clock that all processes share.
        engaged: From when (the acknowledgement) to when (the release was begun) the switch was engaged.
        grace_s: How old a state the gate may act on.
    """
    spans = list(engaged)
    _none(
        "booked while the kill switch was engaged (begun, decided, engaged, release begun)",
        (
            (begun, decided, since, until)
            for begun, decided in bookings
            for since, until in spans
            if since + grace_s < begun and decided < until
        ),
    )


def the_audit_chain_is_whole(url: str) -> None:
    """Check that `golive audit verify` finds nothing."""
    found = audit.verify(url)
    assert found.ok, f"row {found.broken_id} of the audit trail: {found.problem}"


def the_spool_is_empty(machine: Machine, but: Collection[str] = ()) -> None:
    """Check, once every process has ended, that nothing waits any more; `but` for the files named."""
    _none("left in the spool", (name for name in machine.left_behind() if name not in but))


def _trail_of(connection: Connection) -> list[audit.Entry]:
    return audit.entries(connection, limit=1_000_000)[::-1]


def _acted(trip: audit.Entry) -> bool:
    """Return whether there was something to do at this trip."""
    return trip.after["done"] not in ("it was recorded", "the kill switch was engaged already")


def _is_booked(booking: Booking, stored: Mapping[int, Any]) -> bool:
    row = stored.get(booking.id)
    if row is None or (row.engine, row.amount) != (booking.engine, booking.amount):
        return False
    if booking.key is not None and row.idempotency_key != booking.key:
        return False
    if booking.status == "open":  # it may have expired; who got no answer may have settled or released it
        return row.status in ("open", "expired") or booking.in_doubt
    return row.status == booking.status and (booking.loss is None or row.realized_loss == booking.loss)


def _none(what: str, wrong: Iterable[Any]) -> None:
    found = list(wrong)
    assert not found, f"{len(found)} {what}: {_few(found)}"


def _few(found: Collection[Any]) -> str:
    return ", ".join(sorted(map(str, found))[:FEW]) + (" …" if len(found) > FEW else "")
