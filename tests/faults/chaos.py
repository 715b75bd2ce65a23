"""Random faults against a small fleet on PostgreSQL, with every promise checked about once a minute.

    CHAOS_SECONDS=1800 CHAOS_SEED=7 python -m tests.faults.chaos

Prints the seed first: it repeats the choice of faults, though not the moment at which they meet the programs.
Ends with 1 at the first broken promise, and leaves its folder there to look at.
"""

import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from sqlalchemy import create_engine, text

from golive import audit, database, governance, host_account
from tests.faults import promises
from tests.faults.lanes import DISK_FULL, Chaos
from tests.faults.world import STATE_MAX_AGE_S, World, world

CHECK_EVERY_S = 60.0
DRAINED_WITHIN_S = 120.0
LONG_S = 600.0
"""In a run of so many seconds every fault has its turn."""
ENOUGH_TO_EVALUATE = 5_000


def check(world: World) -> int:
    """Ask everybody to end, wait until what they left is delivered, and check every promise; return how many
    rows there are."""
    machine, told = world.machine, world.fleet.told
    world.fleet.pause(60)
    _wait_until_drained(world)
    rows = machine.rows()
    damaged = [str(event.correlation_id) for event in world.damaged]
    emitted = [row for row in rows if row.domain == "EMIT"]
    promises.no_event_is_there_twice(rows)
    promises.every_acknowledged_event_is_a_row(emitted, told.events, damaged)
    promises.only_what_was_done_is_there(emitted, told.events, told.lives)
    promises.damage_is_reported(machine, damaged, rows)
    denied = [row for row in rows if row.metric == "denied"]
    promises.every_acknowledged_event_is_a_row(denied, told.failures, damaged)
    sent = [row for row in rows if row.domain == "SENT"]
    promises.every_acknowledged_event_is_a_row(sent, dict.fromkeys(told.sent, ""), damaged)
    assert not told.out_of_order, f"ids fell in the lives {told.out_of_order}"
    engine = create_engine(database.normalise_url(world.direct_url))
    try:
        with engine.connect() as connection:
            deals = set(connection.scalars(text("SELECT id FROM deal")))
        assert told.deals <= deals, "a commit was acknowledged, and is lost"
        assert not told.called_off & deals, "what was rolled back is there"
        promises.events_follow_their_transactions(
            [row for row in rows if row.domain == "DEAL"], deals, held=("made", "price")
        )
        promises.ledgers_are_the_sum_of_their_events(engine)
        promises.no_cap_is_exceeded(engine)
        promises.bookings_are_as_told(engine, told.bookings.values())
        with engine.connect() as connection:
            evaluated = connection.scalar(text("SELECT count(last_checked_at) FROM regression_state"))
        assert evaluated or len(rows) < ENOUGH_TO_EVALUATE, "no tripwire was evaluated"
    finally:
        engine.dispose()
    promises.every_acknowledged_act_is_in_the_trail(world.direct_url, told.history())
    promises.the_switch_is_as_last_told(world.direct_url, told.history())
    world.trips = promises.every_trip_acts_once(world.direct_url)
    promises.nothing_is_booked_while_the_switch_is_engaged(told.booked_at, told.engaged(), STATE_MAX_AGE_S)
    promises.the_audit_chain_is_whole(world.direct_url)
    return len(rows)


def _wait_until_drained(world: World) -> None:
    lost = Counter((event.domain, event.metric) for event in world.damaged)
    deadline = time.monotonic() + DRAINED_WITHIN_S
    while True:
        try:
            account = host_account.read([world.machine.store_folder()], 400)
            assert account.spool_events == 0, f"{account.spool_events} events wait in the spool"
            promises.counters_equal_rows(world.machine, lost)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return


def run(folder: Path, seed: int, seconds: float, check_every_s: float = CHECK_EVERY_S) -> str:
    """Run for some seconds, checks included, and return the result as a Markdown table."""
    began = time.monotonic()
    with world(folder, seed) as there:
        chaos = Chaos(there, seed)
        while True:
            left = seconds - (time.monotonic() - began)
            chaos.rage(max(min(check_every_s, left), 1.0))
            try:
                rows = check(there)
            except AssertionError:
                _keep_evidence(there)
                raise
            told, passed = there.fleet.told, time.monotonic() - began
            print(
                f"{passed:6.0f} s: {there.kills} kills, {there.restarts} database restarts, "
                f"{told.acknowledged} events acknowledged, {rows} rows, {len(told.bookings)} bookings, "
                f"{there.trips.total()} trips; "
                + ", ".join(f"{name} {times}" for name, times in sorted(chaos.faults.items())),
                flush=True,
            )
            if passed >= seconds:
                break
            there.fleet.go_on()
        there.service.stop()
        there.machine.recover()
        promises.the_spool_is_empty(there.machine, ["quarantine.log"])
        if seconds >= LONG_S:
            never = chaos.never() - (set() if there.small_disk else {DISK_FULL})
            assert not never, f"in all the time these never happened: {sorted(never)}"
            assert there.trips["FALL/engine"], "no tripwire throttled its engine"
            assert there.trips["FALL/switch"], "no tripwire engaged the kill switch"
        return table(there, chaos, seed, rows, passed)


def _keep_evidence(there: World) -> None:
    """Write down what ends with the server: who was told what of the switch, and what the trail has of it."""
    told = there.fleet.told
    acts = [f"{at} {act.action} {act.reason} {told.answered.get(act.reason)}" for at, act in told.acts]
    (there.machine.folder / "acts").write_text("\n".join(acts))
    with governance.reading(there.direct_url) as connection:
        trail = audit.entries(connection, limit=1_000_000, action="kill_switch")
    (there.machine.folder / "trail").write_text("\n".join(map(repr, trail)))


def table(there: World, chaos: Chaos, seed: int, rows: int, seconds: float) -> str:
    """Return what happened, as Markdown."""
    told = there.fleet.told
    figures = {
        "seed": seed,
        "minutes": f"{seconds / 60:.1f}",
        "processes killed": there.kills,
        "database restarts": there.restarts,
        **{f"fault: {name}": times for name, times in sorted(chaos.faults.items())},
        "lines of the spool destroyed": len(there.damaged),
        "lives": told.lives,
        "events acknowledged": told.acknowledged,
        "rows": rows,
        "transactions committed": len(told.deals),
        "bookings acknowledged": len(told.bookings),
        "acts acknowledged": len(told.answered),
        **{f"trips of {wire}": times for wire, times in sorted(there.trips.items())},
    }
    lines = [f"| {name} | {figure} |" for name, figure in figures.items()]
    return "\n".join(["| chaos | |", "| --- | ---: |", *lines])


def main() -> int:
    """Run by the environment; return the exit code."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))
    seconds = float(os.environ.get("CHAOS_SECONDS") or 1800)
    print(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="golive-chaos-"))
    try:
        print(run(folder, seed, seconds, float(os.environ.get("CHAOS_CHECK_SECONDS") or CHECK_EVERY_S)))
    except Exception:
        traceback.print_exc()
        print(f"a promise is broken, or the run itself: CHAOS_SEED={seed}; look into {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
