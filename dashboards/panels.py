"""What the dashboards are built of: data sources, queries, and panels as golive has them."""

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

# The uids of the provisioned data sources.
PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
TEMPO: Final = DataSourceRef(type_val="tempo", uid="tempo")
POSTGRES: Final = DataSourceRef(type_val="grafana-postgresql-datasource", uid="golive-postgres")

GREEN, YELLOW, RED, GREY = "green", "yellow", "red", "text"

_HEIGHT: Final = 8
_UNKNOWN: Final = SpecialValueMap(
    options=DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL_AND_NAN, result=ValueMappingResult(text="UNKNOWN", color=YELLOW)
    )
)


def board(uid: str, title: str, description: str, *, since: str = "now-6h") -> dashboard.Dashboard:
    """Begin a dashboard, which links to its siblings and keeps their time range and variables."""
    siblings = (
        dashboard.DashboardLink("golive")
        .type(DashboardLinkType.DASHBOARDS)
        .tags(["golive"])
        .tooltip("The other dashboards of golive")
        .keep_time(True)
        .include_vars(True)
    )
    return (
        dashboard.Dashboard(f"golive / {title}")
        .uid(uid)
        .description(description)
        .tags(["golive"])
        .time(since, "now")
        .refresh("30s")
        .timezone("browser")
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(siblings)
    )


def choice(name: str, label: str, description: str, query: str) -> dashboard.QueryVariable:
    """Return a variable of values Prometheus knows: one, several or all of them."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
    )


def job() -> dashboard.QueryVariable:
    """Return the variable by which installations that share a Prometheus are told apart."""
    text = "Which installations, by the job that scrapes them"
    return choice("job", "Job", text, "label_values(golive_spool_events, job)")


def query(
    expression: str, legend: str = "__auto", *, exemplars: bool = False, ref: str = "A"
) -> prometheus.Dataquery:
    """Return a query over the time range."""
    return _query(expression, legend, ref).range().exemplar(exemplars)


def now(expression: str, legend: str = "__auto", *, ref: str = "A") -> prometheus.Dataquery:
    """Return a query of the latest values, as a table has them."""
    return _query(expression, legend, ref).instant().format(PromQueryFormat.TABLE)


def latest(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """Return a query of the latest values alone: of a range, the last there is may be hours old."""
    return _query(expression, legend, "A").instant()


def buckets(expression: str) -> prometheus.Dataquery:
    """Return a query of a histogram's buckets."""
    return _query(expression, "{{le}}", "A").range().format(PromQueryFormat.HEATMAP)


def traceql(expression: str, limit: int = 200) -> tempo.Dataquery:
    """Return a query of the spans that match, one a line."""
    return (
        tempo.Dataquery()
        .query(expression)
        .query_type("traceql")
        .table_type(SearchTableType.SPANS)
        .limit(limit)
        .ref_id("A")
    )


class Sql(Builder[Dataquery], Dataquery):
    """A query of the store, whose rows are a table."""

    def __init__(self, statement: str) -> None:
        self._statement = " ".join(statement.split())

    def build(self) -> "Sql":
        """Return itself: it is what it builds."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the query as the PostgreSQL data source reads it."""
        return {
            "refId": "A",
            "datasource": POSTGRES,
            "format": "table",
            "editorMode": "code",
            "rawQuery": True,
            "rawSql": self._statement,
        }


def graph(
    title: str, description: str, unit: str, *queries: prometheus.Dataquery, span: int = 12
) -> timeseries.Panel:
    """Return a panel of lines over time, their last and greatest values in the legend."""
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(span)
        .height(_HEIGHT)
        .datasource(PROMETHEUS)
        .targets([*queries])
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )


def figure(
    title: str, description: str, unit: str, expression: str, *, span: int = 4, height: int = 4
) -> stat.Panel:
    """Return a panel of one figure, the latest."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(span)
        .height(height)
        .datasource(PROMETHEUS)
        .with_target(latest(expression))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def switch(
    title: str, description: str, expression: str, words: dict[str, tuple[str, str]], *, span: int = 4
) -> stat.Panel:
    """Return a panel that says in a word, on its colour, what the latest figure means; NaN and none: unknown.

    Args:
        words: Of each value, as text, the word and the colour.
    """
    return (
        figure(title, description, "none", expression, span=span)
        .color_mode(BigValueColorMode.BACKGROUND)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]))
        .mappings([*meaning(words), _UNKNOWN])
    )


def timeline(
    title: str,
    description: str,
    words: dict[str, tuple[str, str]],
    *queries: prometheus.Dataquery,
    span: int = 12,
) -> statetimeline.Panel:
    """Return a panel of bands, one a series, coloured by what its value means."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .unit("none")
        .span(span)
        .height(_HEIGHT)
        .datasource(PROMETHEUS)
        .targets([*queries])
        .mappings(meaning(words))
        .show_value(VisibilityMode.NEVER)
        .thresholds(steps((None, GREY)))
        .legend(common.VizLegendOptions().show_legend(True))
    )


def bars(
    title: str, description: str, unit: str, expression: str, legend: str, *, span: int = 12
) -> bargauge.Panel:
    """Return a panel of a bar a series: its latest value."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(span)
        .height(_HEIGHT)
        .datasource(PROMETHEUS)
        .with_target(latest(expression, legend))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def rows(
    title: str,
    description: str,
    source: DataSourceRef,
    target: Builder[Dataquery],
    *,
    span: int = 12,
    height: int = _HEIGHT,
) -> table.Panel:
    """Return a panel of a table; units are those of its columns."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .unit("none")
        .span(span)
        .height(height)
        .datasource(source)
        .with_target(target)
        .filterable(True)
    )


def spectrum(title: str, description: str, unit: str, target: prometheus.Dataquery) -> heatmap.Panel:
    """Return a panel of a histogram over time."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(12)
        .height(_HEIGHT)
        .datasource(PROMETHEUS)
        .with_target(target)
        .y_axis(heatmap.YAxisConfig().unit(unit))
    )


def meaning(words: dict[str, tuple[str, str]]) -> list[ValueMapping]:
    """Return the mapping of values to words and colours."""
    return [
        ValueMap(
            options={
                value: ValueMappingResult(text=word, color=colour, index=index)
                for index, (value, (word, colour)) in enumerate(words.items())
            }
        )
    ]


def steps(*bounds: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Return thresholds: from each bound upwards, its colour."""
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=bound, color=colour) for bound, colour in bounds])
    )


def columns(
    order: Sequence[str], hidden: Sequence[str], renamed: Mapping[str, str] | None = None
) -> DataTransformerConfig:
    """Return the order of a table's columns and their names, without those nobody reads."""
    return DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: index for index, name in enumerate(order)},
            "renameByName": dict(renamed or {}),
        },
    )


def merged() -> DataTransformerConfig:
    """Return what makes the rows of several queries one row where their labels agree."""
    return DataTransformerConfig(id_val="merge", options={})


def unit(name: str) -> DynamicConfigValue:
    """Return a unit for some of a panel's fields."""
    return DynamicConfigValue(id_val="unit", value=name)


def axis_right() -> DynamicConfigValue:
    """Return an axis on the right for some of a panel's fields."""
    return DynamicConfigValue(id_val="custom.axisPlacement", value="right")


def dashed() -> DynamicConfigValue:
    """Return dashes for some of a panel's lines."""
    return DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 8]})


def mapped(words: dict[str, tuple[str, str]]) -> DynamicConfigValue:
    """Return words and colours for the values of a column."""
    return DynamicConfigValue(id_val="mappings", value=meaning(words))


def coloured_cell() -> DynamicConfigValue:
    """Return cells of a column that have their value's colour."""
    return DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"})


def line_at_threshold() -> common.GraphThresholdsStyleConfig:
    """Return thresholds drawn as dashed lines."""
    return common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)


def link(title: str, url: str) -> DynamicConfigValue:
    """Return what makes each cell of a column a link."""
    return DynamicConfigValue(id_val="links", value=[{"title": title, "url": url, "targetBlank": False}])


def _query(expression: str, legend: str, ref: str) -> prometheus.Dataquery:
    text = " ".join(expression.split())
    return prometheus.Dataquery().datasource(PROMETHEUS).expr(text).legend_format(legend).ref_id(ref)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
