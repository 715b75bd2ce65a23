"""A full spool, a full disk, no spool at all: the business goes on, and what is lost is counted (E4, E6)."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from golive import host_account
from golive.settings import Settings
from tests.faults.driving import ask, flush
from tests.faults.injectors import Impossible, full_disk, small_disk
from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer

SMALL = {"GOLIVE_SPOOL_MAX_BYTES": "131072", "GOLIVE_SHUTDOWN_SECONDS": "0.2"}


def emit_while_away(
    machine: Machine, server: PostgresServer, *command: object, **environment: str
) -> tuple[dict[str, Any], str]:
    """Run `full.py` with the store away, start the store, and recover; return what it said and logged."""
    server.stop()
    try:
        done = replace(machine, settings=environment).run("full.py", *command)
    finally:
        server.start()
    machine.recover()
    said: dict[str, Any] = json.loads(done.stdout)
    print(said)
    return said, done.stderr


def test_drop_goes_on_and_counts_what_it_drops(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    said, log = emit_while_away(
        postgres_machine, postgres_server, "emit", 3_000, **SMALL, GOLIVE_SPOOL_WHEN_FULL="drop"
    )
    assert said["returned"] == 3_000
    assert said["longest_s"] < Settings().block_seconds / 2  # it waits for nothing, but for a busy machine
    assert said["discarded"].keys() == {"spool_full"}
    assert said["counted"] + said["discarded"]["spool_full"] == 3_000
    assert len(postgres_machine.rows()) == said["counted"] > 100
    assert "KPI events are being lost" in log


def test_block_waits_to_its_deadline_and_then_drops(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    said, log = emit_while_away(
        postgres_machine,
        postgres_server,
        "overfill",
        3,
        **SMALL,
        GOLIVE_SPOOL_WHEN_FULL="block",
        GOLIVE_SPOOL_BLOCK_SECONDS="0.5",
    )
    assert 0.5 <= said["longest_s"] < 1.5
    assert said["discarded"] == {"spool_full": 3}
    assert said["counted"] == said["returned"] - 3 > 100
    assert len(postgres_machine.rows()) == said["counted"]
    assert "KPI events are being lost" in log


def test_block_lets_events_through_when_the_store_comes_back(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    postgres_server.stop()
    starter = threading.Timer(2, postgres_server.start)
    starter.start()
    try:
        done = postgres_machine.run(
            "full.py",
            "emit",
            3_000,
            GOLIVE_SPOOL_MAX_BYTES="131072",
            GOLIVE_SPOOL_WHEN_FULL="block",
            GOLIVE_SPOOL_BLOCK_SECONDS="60",
        )
    finally:
        starter.join()
    said = json.loads(done.stdout)
    print(said)
    assert said["counted"] == 3_000
    assert said["discarded"] == {}
    assert said["longest_s"] > 0.2
    assert [row.correlation_id for row in postgres_machine.rows()] == [
        f"{number:06}" for number in range(3_000)
    ]


def test_raise_raises_at_the_call_and_never_in_the_way_of_the_business(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    said, _ = emit_while_away(
        postgres_machine, postgres_server, "raise", 3_000, **SMALL, GOLIVE_SPOOL_WHEN_FULL="raise"
    )
    assert said["returned"] + said["refused"] == 3_000
    assert said["refused"] > 0
    assert said["out of a failed step"] == "LookupError"
    assert said["out of a step"] == "SpoolFull"
    assert said["deals"] == 1
    assert said["discarded"] == {"spool_full": said["refused"] + 3}
    assert len(postgres_machine.rows()) == said["counted"] == said["returned"]


def test_a_disk_that_refuses_is_counted_and_used_again_when_it_takes_more(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    """Files are limited to 64 KiB, so that a write is cut short, and later ones fail."""
    said, log = emit_while_away(
        postgres_machine, postgres_server, "limit", 2_000, GOLIVE_SHUTDOWN_SECONDS="0.2"
    )
    assert said["returned"] == 2_000
    assert said["discarded while full"].keys() == {"disk"}
    assert said["discarded"] == said["discarded while full"]
    assert said["counted"] + said["discarded"]["disk"] == 4_000
    assert len(postgres_machine.rows()) == said["counted"] > 2_000
    assert "KPI events are being lost" in log


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    try:
        with small_disk(tmp_path / "small", 256) as folder:
            yield folder
    except Impossible as error:
        pytest.skip(f"NOT TESTED, {error}")


def test_a_full_disk_holds_up_nobody_and_is_used_again_once_delivered(
    postgres_machine: Machine, postgres_server: PostgresServer, small: Path
) -> None:
    with postgres_machine.started("outage.py", GOLIVE_SPOOL_DIR=str(small)) as process:
        postgres_server.stop()
        assert ask(process, "emit 5000") == "5000"
        postgres_server.start()
        assert flush(process, 30)[0]
        arrived = len(postgres_machine.rows())
        assert 500 < arrived < 5_000
        time.sleep(1)
        assert ask(process, "emit 100") == "5100"
        assert flush(process, 30)[0]
        assert len(postgres_machine.rows()) == arrived + 100
        _, log = process.communicate(timeout=30)
    assert "KPI events are being lost" in log


@pytest.fixture
def copying_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system that takes new room for each page that is changed: btrfs."""
    image, folder = tmp_path / "image", tmp_path / "copying"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(160 << 20)
    for command in (["mkfs.btrfs", "--quiet", str(image)], ["mount", "-o", "loop", str(image), str(folder)]):
        if shutil.which(command[0]) is None:
            pytest.skip(f"NOT TESTED, there is no {command[0]}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"NOT TESTED, no btrfs can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_that_copies_on_write_ends_no_process_and_counters_equal_rows_once_there_is_room(
    machine: Machine, copying_disk: Path
) -> None:
    machine.settings["GOLIVE_SPOOL_DIR"] = str(copying_disk)
    with machine.started("outage.py") as process:
        assert ask(process, "emit 100") == "100"
        assert flush(process, 30)[0]
        with full_disk(copying_disk):
            for number in range(2, 22):
                subprocess.run(
                    ["sync", "--file-system", str(copying_disk)], check=True
                )  # stores need room now
                assert ask(process, "emit 100") == str(number * 100)
        assert ask(process, "emit 100") == "2200"
        assert flush(process, 30)[0]
        process.communicate(timeout=30)
    assert 200 <= len(machine.rows()) < 2_200
    counted = host_account.read([copying_disk / machine.store_folder().name], 400).events
    assert sum(counted.values()) == len(machine.rows())


def test_without_a_folder_for_the_spool_the_business_goes_on_and_counts(machine: Machine) -> None:
    (machine.folder / "file").touch()
    done = machine.run("full.py", "emit", 100, GOLIVE_SPOOL_DIR=str(machine.folder / "file" / "spool"))
    said = json.loads(done.stdout)
    assert said["returned"] == 100
    assert said["counted"] == 0
    assert said["discarded"] == {"error": 100}
    assert "spool_dir: expected a folder that can be written" in done.stderr


def test_a_folder_for_the_spool_is_made(machine: Machine) -> None:
    machine.run("full.py", "emit", 100, GOLIVE_SPOOL_DIR=str(machine.folder / "not" / "there" / "yet"))
    assert len(machine.rows()) == 100


def test_a_spool_removed_under_a_running_process_is_made_anew_with_what_it_held(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    said, log = emit_while_away(
        postgres_machine, postgres_server, "vanish", 100, GOLIVE_SHUTDOWN_SECONDS="0.2"
    )
    assert said["returned"] == 100
    assert "the spool's folder was removed" in log
    assert said["discarded"] == {}
    assert len(postgres_machine.rows()) == said["counted"]
