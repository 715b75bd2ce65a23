"""ClickHouse's tables: those of a cluster are those of one server, and the documents show them."""

import re
from pathlib import Path

import pytest

from golive.database import normalise_events_url, normalise_url, same_database, store_key
from golive.errors import ConfigurationError
from golive.exporters._clickhouse import connect
from golive.exporters.clickhouse_schema import statements

DOCUMENT = Path(__file__).parents[2] / "docs" / "clickhouse.md"


def test_a_cluster_has_the_columns_and_the_keys_of_one_server() -> None:
    alone = [text for text in statements("golive") if "ReplacingMergeTree" in text]
    spread = [text for text in statements("golive", "main") if "ReplicatedReplacingMergeTree" in text]
    assert len(alone) == len(spread) == 2
    for one, many in zip(alone, spread, strict=True):
        assert re.findall(r"^    .+$", one, re.M) == re.findall(r"^    .+$", many, re.M)
        assert re.findall("^(?:ORDER|PARTITION) BY .+$", one, re.M) == re.findall(
            "^(?:ORDER|PARTITION) BY .+$", many, re.M
        )


def test_every_statement_of_a_cluster_goes_to_all_its_servers() -> None:
    made = statements("golive", "main")
    assert all(" ON CLUSTER `main`" in text for text in made)
    assert sum("Distributed(`main`, `golive`, kpi_event" in text for text in made) == 2
    assert all("fingerprint)" in text for text in made if "Distributed" in text), "copies go to one shard"


def test_names_are_quoted() -> None:
    assert "`a``b`" not in statements("a`b")[0]
    assert statements("a`b", "c\\")[0] == "CREATE DATABASE IF NOT EXISTS `a\\`b` ON CLUSTER `c\\\\`"


@pytest.mark.parametrize("cluster", [None, "main"])
def test_the_documents_show_the_tables(cluster: str | None) -> None:
    shown = re.findall("```sql\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert ";\n\n".join(statements("golive", cluster)) + ";\n" in shown


def test_a_store_is_the_same_for_every_user_and_never_that_of_a_transaction() -> None:
    one = normalise_events_url("clickhouse://ann:secret@host:8123/golive")
    other = normalise_events_url("clickhousedb+connect://bob@host:8123/golive?secure=true")
    assert store_key(one) == store_key(other)
    assert store_key(one) != store_key(one.set(database="else"))
    assert not same_database(one, one)


def test_the_levers_are_never_in_clickhouse() -> None:
    with pytest.raises(ConfigurationError, match="GOLIVE_EVENTS_URL"):
        normalise_url("clickhousedb://host/golive")


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    url = normalise_events_url(f"clickhousedb://127.0.0.1:1/golive?password_file={tmp_path / 'none'}")
    with pytest.raises(ConfigurationError, match="none: No such file"):
        connect(url, 1.0, {})
