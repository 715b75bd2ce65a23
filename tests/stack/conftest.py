"""The stack, running once for all tests that ask for it."""

from collections.abc import Iterator

import pytest

from tests.support import stack as native


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.Stack]:
    """golive, PostgreSQL, Prometheus, Alertmanager and a receiver, wired as docker-compose.yml wires them."""
    with native.running(tmp_path_factory.mktemp("stack")) as running:
        yield running
