"""Which stores a test runs on."""

import pytest

one_store = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
"""For a promise that no database has a part in: it is kept on one, and so on all."""
