"""The templates, and how figures, times and text from outside are shown in them."""

import datetime as dt
import functools
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from golive.api.page import charts
from golive.api.page.static import static_url
from golive.settings import TRACE_ID_PLACE

_DIGITS: Final = 6
_CODE: Final = re.compile(r"`([^`]+)`")


def render(template: str, **context: Any) -> str:
    """Return a page's HTML."""
    return environment().get_template(template).render(context)


@functools.cache
def environment() -> Environment:
    """Return the environment of the templates; whatever is put in is text unless it is marked as HTML."""
    made = Environment(
        loader=PackageLoader("golive.api.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        static_url=static_url,
        chart=charts,
        trace_link=trace_link,
        changed=changed,
        query_of=query_of,
        day=dt.timedelta(days=1),
    )
    made.filters.update(
        text=text,
        name=name,
        plain=printable,
        code=code,
        moment=moment,
        percent=percent,
        number=number,
        figure=figure,
        money=money,
        duration=duration,
        pretty=pretty,
        plural=plural,
    )
    return made


def text(given: object) -> Markup:
    """Return text from outside: apart from what is around it, with control and direction marks shown."""
    return Markup("<bdi>{}</bdi>").format(printable(given))


def name(given: object) -> Markup:
    """Return a name from outside, which may be broken after each `_`."""
    return Markup("<bdi>{}</bdi>").format(Markup("_<wbr>").join(printable(given).split("_")))


def printable(given: object) -> str:
    """Return text in which no character acts on others: those are shown as escapes; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(given))


def code(given: object) -> Markup:
    """Return an action's text, of which the parts in backticks are meant as code."""
    marked = _CODE.sub(r"<code>\1</code>", str(escape(printable(given))))
    return Markup(marked)  # noqa: S704 - escaped # nosec B704


def moment(given: dt.datetime | str | None, short: bool = False) -> Markup:
    """Return a time, in UTC."""
    if given is None:
        return Markup('<span class="muted">never</span>')
    at = dt.datetime.fromisoformat(given) if isinstance(given, str) else given
    at = at.astimezone(dt.UTC)
    style = "%H:%M:%S" if short else "%Y-%m-%d %H:%M:%S"
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime(style))


def percent(given: float | None, digits: int = 1) -> str:
    """Return a share; one that is not quite all is never rounded to all."""
    if given is None:
        return "–"
    shown = f"{given:.{digits}%}"
    return percent(given, digits + 1) if given < 1 and shown.startswith("100") and digits < _DIGITS else shown


def number(given: float | None) -> str:
    """Return a number, its thousands apart."""
    if given is None:
        return "–"
    return (
        f"{given:,}" if isinstance(given, int) else f"{given:,.4g}" if abs(given) < 1e4 else f"{given:,.0f}"
    )


def figure(given: float | None, kind: str | None) -> str:
    """Return the level of a stream: a rate, or a mean."""
    return number(given) if kind == "value" else percent(given)


def money(given: Decimal | int | None) -> str:
    """Return an amount, to the cent, or a count; no cap is `no cap`."""
    return "no cap" if given is None else f"{given:,}"


def duration(seconds: float | None) -> str:
    """Return a duration in the unit that suits it."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.3g} d"


def pretty(given: Any) -> str:
    """Return a JSON value over several lines; a plain string as it is."""
    if isinstance(given, str):
        return printable(given)
    return printable(json.dumps(given, indent=2, ensure_ascii=False, default=str))


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def trace_link(trace_url: str | None, trace_id: str | None) -> str | None:
    """Return where a trace is shown; None where nobody said where."""
    if trace_url is None or not trace_id or not re.fullmatch(r"[0-9a-f]{32}", trace_id):
        return None
    return trace_url.replace(TRACE_ID_PLACE, trace_id)


def changed(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    """Return what an act changed: each field with what it was and what it is."""
    old = before if isinstance(before, Mapping) else {}
    new = after if isinstance(after, Mapping) else {}
    keys = [*old, *(key for key in new if key not in old)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def query_of(filters: Mapping[str, str], **more: Any) -> str:
    """Return a query string of what is not empty."""
    return urlencode({key: value for key, value in {**filters, **more}.items() if value})
