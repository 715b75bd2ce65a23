"""A JSON schema of Grafana dashboards, made from the types of `grafana-foundation-sdk`.

Grafana generates those types from its own CUE schemas. Everything they do not name is forbidden, so that a
misspelt option fails; which options a panel may have, and what its queries are, follows from its type.
"""

import ast
import enum
import inspect
import textwrap
import types
import typing
import warnings
from typing import Any, Literal, get_args, get_origin, get_type_hints

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its own, of the first version of dashboards
    from grafana_foundation_sdk.models import (
        bargauge,
        dashboard,
        heatmap,
        prometheus,
        stat,
        statetimeline,
        table,
        tempo,
        timeseries,
    )

_PANELS: dict[str, types.ModuleType] = {
    "bargauge": bargauge,
    "heatmap": heatmap,
    "stat": stat,
    "state-timeline": statetimeline,
    "table": table,
    "timeseries": timeseries,
}
_QUERIES: dict[str, type] = {"prometheus": prometheus.Dataquery, "tempo": tempo.Dataquery}

# The SDK has no types for these.
_SQL = {
    "type": "object",
    "required": ["refId", "datasource", "format", "rawSql"],
    "additionalProperties": False,
    "properties": {
        "refId": {"type": "string"},
        "datasource": {"type": "object"},
        "format": {"enum": ["table", "time_series"]},
        "editorMode": {"enum": ["code", "builder"]},
        "rawQuery": {"type": "boolean"},
        "rawSql": {"type": "string", "minLength": 1},
    },
}
_NO_OPTIONS: dict[str, Any] = {"type": "object", "maxProperties": 0}


def schema() -> dict[str, Any]:
    """Return the schema."""
    return _Maker().schema()


class _Maker:
    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def schema(self) -> dict[str, Any]:
        root = self._of(dashboard.Dashboard)
        self._specialise_panels()
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": self.definitions, **root}

    def _specialise_panels(self) -> None:
        """Let options and field configuration of a panel be those of its type, and its queries real ones."""
        panel = self.definitions["dashboard.Panel"]
        panel["properties"]["type"] = {"enum": [*_PANELS, "traces"]}
        panel["properties"]["targets"] = {
            "type": "array",
            "items": {"anyOf": [*map(self._of, _QUERIES.values()), _SQL]},
        }
        panel["allOf"] = [
            {
                "if": {"properties": {"type": {"const": name}}},
                "then": {
                    "properties": {
                        "options": self._of(module.Options),
                        "fieldConfig": {
                            "properties": {
                                "defaults": {
                                    "properties": {
                                        "custom": self._of(module.FieldConfig)
                                        if hasattr(module, "FieldConfig")
                                        else _NO_OPTIONS
                                    }
                                }
                            }
                        },
                    }
                },
            }
            for name, module in _PANELS.items()
        ]

    def _of(self, hint: Any) -> dict[str, Any]:
        """Return the schema of a type; that of a class is defined once, and referred to."""
        origin = get_origin(hint)
        if hint in (Any, object):
            return {}
        if hint is type(None):
            return {"type": "null"}
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self._of(each) for each in get_args(hint)]}
        if origin is Literal:
            return {"enum": list(get_args(hint))}
        if origin is list:
            return {"type": "array", "items": self._of(*get_args(hint))}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of(get_args(hint)[1])}
        plain = {str: "string", bool: "boolean", int: "integer", float: "number"}
        if hint in plain:
            return {"type": plain[hint]}
        if issubclass(hint, enum.Enum):
            return {"enum": [each.value for each in hint]}
        return self._of_class(hint)

    def _of_class(self, cls: type) -> dict[str, Any]:
        name = f"{cls.__module__.rsplit('.', 1)[1]}.{cls.__name__}"
        if name not in self.definitions:
            if not hasattr(cls, "to_json"):  # an interface that any query may implement
                return {"type": "object"}
            self.definitions[name] = {}  # types refer to themselves
            hints = get_type_hints(cls)
            keys = _keys(cls)
            self.definitions[name] = {
                "type": "object",
                "additionalProperties": False,
                "required": [key for key, (_, always) in keys.items() if always],
                "properties": {key: self._of(hints[attribute]) for key, (attribute, _) in keys.items()},
            }
        return {"$ref": f"#/$defs/{name}"}


def _keys(cls: Any) -> dict[str, tuple[str, bool]]:
    """Return the keys a class writes, each with its attribute, and whether it always does."""
    found: dict[str, tuple[str, bool]] = {}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls.to_json)))):
        if isinstance(node, ast.Dict):
            for named, value in zip(node.keys, node.values, strict=True):
                if isinstance(named, ast.Constant) and isinstance(value, ast.Attribute):
                    found[str(named.value)] = (value.attr, True)
        match node:
            case ast.Assign(
                targets=[ast.Subscript(slice=ast.Constant(value=key))], value=ast.Attribute(attr=attribute)
            ):
                found[str(key)] = (attribute, False)
    return found
