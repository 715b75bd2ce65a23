"""Fixtures of the fault tests: a machine for each kind of store."""

from pathlib import Path

import pytest

from golive import database
from tests.faults.machine import Machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a fault test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")


@pytest.fixture
def machine(tmp_path: Path, sqlite_url: str) -> Machine:
    """A machine whose events go to SQLite."""
    return Machine(tmp_path, sqlite_url)


@pytest.fixture
def postgres_machine(tmp_path: Path, postgres_url: str) -> Machine:
    """A machine whose events go to PostgreSQL."""
    database.upgrade(database.normalise_url(postgres_url))
    return Machine(tmp_path, postgres_url)


@pytest.fixture
def any_machine(tmp_path: Path, store: str) -> Machine:
    """A machine for each kind of store in turn."""
    return Machine(tmp_path, store)
