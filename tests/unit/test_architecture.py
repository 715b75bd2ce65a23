"""Imports point one way, api → exporters → sdk, and importing the helpers costs little."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORTIONS = ("sdk", "exporters", "api")
API = ("golive.api", "golive.cli", "golive.commands")


def modules(portion: str) -> Iterator[Path]:
    """Yield the source files of a portion of the namespace."""
    yield from sorted((ROOT / portion / "golive").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return the dotted names a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            found.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def violations(portion: str, *forbidden: str) -> list[str]:
    """Return which modules of a portion import what they must not."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(portion)
        for name in sorted(imports(path))
        if any(name == root or name.startswith(f"{root}.") for root in forbidden)
    ]


def test_the_sdk_imports_neither_exporters_nor_the_api() -> None:
    assert violations("sdk", "golive.exporters", *API, "fastapi", "typer", "rich") == []


def test_exporters_do_not_import_the_api() -> None:
    assert violations("exporters", *API, "fastapi", "typer", "rich") == []


def test_opentelemetrys_unstable_logs_api_is_imported_in_one_module() -> None:
    importers = {
        path.name
        for portion in PORTIONS
        for path in modules(portion)
        for name in imports(path)
        if name.startswith(("opentelemetry._logs", "opentelemetry.sdk._logs"))
    }
    assert importers == {"otel_logs.py"}


def test_the_namespace_has_no_init() -> None:
    """One would hide the other portions."""
    assert [portion for portion in PORTIONS if (ROOT / portion / "golive" / "__init__.py").exists()] == []


def loaded(code: str, **environment: str) -> list[str]:
    """Return the modules that a fresh interpreter has imported once it has run this."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()


@pytest.mark.parametrize("module", ["golive.kpi", "golive.pipeline", "golive.asgi", "golive.correlation"])
def test_the_helpers_pull_in_neither_fastapi_nor_alembic_nor_an_exporter(module: str) -> None:
    unwanted = ("fastapi", "starlette", "alembic", "typer", "rich", "golive.exporters", "golive.cli")
    assert [name for name in loaded(f"import {module}") if name.startswith(unwanted)] == []


def test_to_read_the_account_of_a_host_takes_no_pipeline(tmp_path: Path) -> None:
    found = loaded("from golive import pipeline; pipeline.host_account()", GOLIVE_SPOOL_DIR=str(tmp_path))
    assert "golive.host_account" in found
    assert {"golive._pipeline", "golive.drain"}.isdisjoint(found)
