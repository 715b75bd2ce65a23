"""Write the dashboards as JSON: `python -m dashboards`, after each change to a module beside this one."""

import json
import sys
from pathlib import Path
from types import ModuleType

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Panel, RowPanel

from dashboards import control_plane, correlation, itself, kpi_rates

FOLDER = Path(__file__).parent / "grafana"
BOARDS: tuple[ModuleType, ...] = (kpi_rates, control_plane, correlation, itself)


def rendered(module: ModuleType) -> tuple[str, str]:
    """Return the name of a dashboard's file and its JSON."""
    board = module.build().build()
    panels: list[Panel | RowPanel] = board.panels
    for number, panel in enumerate(panels, start=1):
        panel.id_val = number
    return f"{board.uid}.json", json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Write what is missing or differs; with `--check`, return 1 if anything does, and write nothing."""
    stale = 0
    for name, text in map(rendered, BOARDS):
        file = FOLDER / name
        if file.is_file() and file.read_text() == text:
            continue
        stale += 1
        print(f"{file.name} differs from what its module makes")
        if "--check" not in sys.argv[1:]:
            file.write_text(text)
    return int(bool(stale) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
