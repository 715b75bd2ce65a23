import pytest

from golive import settings
from golive.errors import ConfigurationError
from golive.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert settings.from_environment({}) == Settings()
    assert settings.from_environment({settings.SPOOL_MAX_BYTES: " ", settings.DATABASE_URL: ""}) == Settings()


def test_every_variable_is_read() -> None:
    read = settings.from_environment(
        {
            "DATABASE_URL": "sqlite:///x.db",
            "GOLIVE_SPOOL_DIR": "spool",
            "GOLIVE_SPOOL_MAX_BYTES": "1e6",
            "GOLIVE_SPOOL_WHEN_FULL": "block",
            "GOLIVE_SPOOL_BLOCK_SECONDS": "0.5",
            "GOLIVE_SHUTDOWN_SECONDS": "1",
            "GOLIVE_DETAIL_MAX_BYTES": "1000",
            "GOLIVE_MAX_SERIES": "10",
            "GOLIVE_REDACT_KEYS": "a, b",
            "GOLIVE_EVALUATE_EVERY_EVENTS": "25",
        }
    )
    assert (read.database_url, str(read.spool_dir), read.spool_max_bytes) == (
        "sqlite:///x.db",
        "spool",
        1_000_000,
    )
    assert (read.when_full, read.block_seconds, read.shutdown_seconds) == ("block", 0.5, 1)
    assert read.evaluate_every_events == 25
    assert (read.detail_max_bytes, read.max_series, read.redact_keys) == (1000, 10, ("a", "b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOLIVE_SPOOL_MAX_BYTES", "much"),
        ("GOLIVE_SPOOL_MAX_BYTES", "1"),
        ("GOLIVE_SPOOL_BLOCK_SECONDS", "nan"),
        ("GOLIVE_SHUTDOWN_SECONDS", "-1"),
        ("GOLIVE_SPOOL_WHEN_FULL", "panic"),
        ("GOLIVE_MAX_SERIES", "0"),
    ],
)
def test_a_value_that_cannot_work_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        settings.from_environment({name: value})


@pytest.mark.parametrize("env", ["production", "Production", " PRODUCTION "])
def test_production_is_enforced_however_it_is_written(env: str) -> None:
    gate = settings.gate_from_environment({"ENV": env, "GO_LIVE_ENFORCE": "0"})
    assert (gate.in_production, gate.enforce) == (True, True)


@pytest.mark.parametrize(
    "address", ["http://jaeger:16686/trace/{trace_id}", "https://x.example/?q={trace_id}"]
)
def test_an_address_of_traces_is_taken(address: str) -> None:
    assert settings.service_from_environment({"GOLIVE_TRACE_URL": address}).trace_url == address


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert('{trace_id}')",
        "ftp://x/{trace_id}",
        "//x/{trace_id}",
        "https://x.example/",
        "http:///{trace_id}",
    ],
)
def test_an_address_of_traces_that_leads_nowhere_or_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="GOLIVE_TRACE_URL"):
        settings.service_from_environment({"GOLIVE_TRACE_URL": address})
