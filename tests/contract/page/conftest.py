"""A service with the control-plane page, on a store of its own, with a story or without."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.support import scene
from tests.support.service import serving, upgraded


@pytest.fixture
def store(sqlite_store: str) -> str:
    """One database: what the page reads and does is held on both by the tests of those functions."""
    return sqlite_store


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a store with a story in it."""
    file = tmp_path_factory.mktemp("story") / "golive.db"
    scene.tell(upgraded(f"sqlite:///{file}"), days=6)
    return str(file)


@pytest.fixture
def told(production: str, story: str) -> str:
    """A store with the story in it, of the test's own."""
    with closing(sqlite3.connect(story)) as source, closing(sqlite3.connect(production[10:])) as target:
        source.backup(target)
    return production


@pytest.fixture
def client(production: str) -> Iterator[httpx.Client]:
    with serving(production) as made:
        yield made
