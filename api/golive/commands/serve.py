"""`golive serve`: the HTTP service, which refuses to start unsafe."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from golive.commands._common import DatabaseUrl, actor, fail, store_url, telling_errors

if TYPE_CHECKING:
    from sqlalchemy import URL

_OPEN_ON_LOOPBACK = "runbook,metrics"
_FIRST_TOKEN = "operator"  # noqa: S105 - its name # nosec B105


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes.", min=1, max=64)] = 1,
    database_url: DatabaseUrl = None,
) -> None:
    """Serve the control-plane page, the runbook, the gates, the switches, the KPI events and the metrics.

    On loopback the first start makes a token with every scope and prints it once, and the runbook and the
    metrics need none. With ENV=production, or on another address, it refuses to start without a token that
    may operate (`golive token create`) or an OIDC issuer.
    """
    try:
        import uvicorn
    except ImportError:
        fail("the HTTP service needs more packages: pip install 'golive[api]'")

    from golive import database, settings
    from golive.api.connections import PromptConnection
    from golive.api.hardening import is_loopback

    with telling_errors():
        url = store_url(database_url)
        if url.get_backend_name() == "sqlite":
            database.upgrade(url)
        loopback = is_loopback(host) and not settings.gate_from_environment().in_production
        _require_credentials(url, loopback)
        _check_issuer()
    if port:
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"golive serves on http://{shown}:{port}/", err=True)
    # Workers make the application themselves, from the environment.
    os.environ[settings.DATABASE_URL] = url.render_as_string(hide_password=False)
    if loopback and settings.ANONYMOUS not in os.environ:
        os.environ[settings.ANONYMOUS] = _OPEN_ON_LOOPBACK
        os.environ.setdefault(settings.HOSTS, f"localhost,127.0.0.1,::1,{host}")
    os.environ.setdefault(settings.ANONYMOUS, "none")
    uvicorn.run(
        "golive.api:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=PromptConnection,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _check_issuer() -> None:
    from golive import settings
    from golive.api.oidc import Issuer

    service = settings.service_from_environment()
    if service.oidc_issuer is not None and service.oidc_audience is not None:
        Issuer(service.oidc_issuer, service.oidc_audience)


def _require_credentials(url: "URL", loopback: bool) -> None:
    from golive import database, governance, settings, tokens

    with governance.reading(url) as connection:
        database.check_schema(connection)
        if settings.service_from_environment().oidc_issuer is not None:
            return
        known = tokens.list_tokens(connection)
    if any("operate" in token.scopes and token.usable for token in known):
        return
    if not loopback:
        fail(
            "nobody could operate this service: make a token first (golive token create NAME --scope "
            "operate), or set GOLIVE_OIDC_ISSUER and GOLIVE_OIDC_AUDIENCE; one is made at the first start "
            "only on loopback, and without ENV=production"
        )
    name = _free_name({token.name for token in known})
    secret = tokens.create(url, name=name, scopes=tokens.SCOPES, actor=actor())
    typer.echo("A token that may do everything was made; it is shown only now:", err=True)
    sys.stderr.flush()
    typer.echo(secret)


def _free_name(taken: set[str]) -> str:
    number = 1
    name = _FIRST_TOKEN
    while name in taken:
        number += 1
        name = f"{_FIRST_TOKEN}-{number}"
    return name
