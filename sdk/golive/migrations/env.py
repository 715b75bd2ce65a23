"""Runs the migrations, for `golive db upgrade` and for the `alembic` command alike."""

import logging
import os
from collections.abc import Callable

from alembic import context
from alembic.util import CommandError

from golive import database, settings
from golive.migrations.seeding import reseed
from golive.models import Base


def _include(name: str | None, type_: str, _parents: object) -> bool:
    """Keep the application's own tables out of what `alembic revision --autogenerate` compares."""
    return type_ != "table" or name in Base.metadata.tables


def _is_of(dialect: str) -> Callable[..., bool]:
    """Return what tells whether a database has something of the models: SQLite has no BRIN indexes."""
    return lambda item, _name, type_, *_: (
        type_ != "index" or dialect != "sqlite" or item.dialect_options["postgresql"]["using"] != "brin"
    )


def _by_upgrade_command() -> bool:
    """Return whether a person typed `alembic upgrade`, and not `alembic current` or the like."""
    command = getattr(context.config.cmd_opts, "cmd", None)
    return command is not None and command[0].__name__ == "upgrade"


def _run() -> None:
    if context.is_offline_mode():
        raise CommandError("golive's migrations look at the database they adopt: --sql cannot work")
    config = context.config
    if config.config_file_name is not None:  # started by the `alembic` command: show what is done
        logging.basicConfig(format="%(levelname)s [%(name)s] %(message)s")
        logging.getLogger("alembic").setLevel(logging.INFO)
    url = (
        config.attributes.get("url") or os.environ.get(settings.DATABASE_URL) or settings.DEFAULT_DATABASE_URL
    )
    with database.migrating(database.normalise_url(url)) as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table=database.VERSION_TABLE,
            include_name=_include,
            include_object=_is_of(connection.dialect.name),
        )
        context.run_migrations()
        if config.attributes.get("seed", _by_upgrade_command()):
            reseed(connection)


_run()
