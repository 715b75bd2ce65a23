"""The runbook as Markdown, for a person; whatever its texts hold, they stay text."""

import re
from collections.abc import Mapping
from typing import Any

_MARKS = {"BLOCKER": "❌", "WARNING": "⚠️", "INFO": "ℹ️"}
_SECTIONS = (("blockers", "Blockers"), ("warnings", "Warnings"), ("info", "Passing and informative"))
# What starts emphasis, code, a link, an image, HTML, an entity, a table cell or a mention within a line; and
# what makes a link of a bare address, where GitHub shows it.
_SPECIAL = re.compile(
    r"([\\`*\[\]<>|~&!@]|(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9])|:(?=//)|(?<=www)\.)", re.IGNORECASE
)


def render_runbook_markdown(runbook: Mapping[str, Any]) -> str:
    """Return the human form of what `build_runbook` returned: each check with its mark, its message, and,
    where it fails, what to do."""
    verdict = "✅ OK to enable go-live" if runbook["ok_to_enable_go_live"] else "❌ NOT OK to enable go-live"
    lines = [
        "# Go-live runbook",
        "",
        f"**{verdict}**",
        "",
        f"Generated at {_text(runbook['generated_at'])}",
        "",
    ]
    for key, title in _SECTIONS:
        if runbook[key]:
            lines += [f"## {title}", "", *(_line(check) for check in runbook[key]), ""]
    return "\n".join(lines)


def _line(check: Mapping[str, Any]) -> str:
    mark = "✅" if check["ok"] else _MARKS.get(check["severity"], "❌")
    line = f"- {mark} {_text(check['id'])} ({_text(check['severity'])}): {_text(check['message'])}"
    return line if check["ok"] else f"{line}\n  - Action: {_code(check['action'])}"


def _text(text: object) -> str:
    """Return text that Markdown takes for nothing else."""
    return _escaped(_printable(text))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _printable(text: object) -> str:
    """Return text in one line; what cannot be printed is shown as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(text).split()))


def _code(action: str) -> str:
    """Return an action's text, of which the parts in backticks are meant as code."""
    parts = _printable(action).split("`")
    if len(parts) % 2 == 0:  # unbalanced
        return _text(action)
    return "".join(f"`{part}`" if index % 2 else _escaped(part) for index, part in enumerate(parts))
