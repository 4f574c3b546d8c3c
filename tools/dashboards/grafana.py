"""Dashboards as Grafana reads them: JSON, with what Grafana takes for granted left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tools.dashboards.shared import MARKS
from tools.dashboards.words import VARIABLES, Dashboard, Mark, Panel, Query

_COLUMNS = 24
_SIZES = {"stat": (4, 4), "timeseries": (8, 8), "heatmap": (8, 8)}
"""Width and height of a panel, in cells."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_TAG = "constellation-ws"
_LINE_CHARS = 160


def to_json(dashboard: Dashboard) -> str:
    """Write a dashboard, short things in one line each."""
    return _tidy(_dashboard(dashboard)) + "\n"


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": f"{_TAG}-{dashboard.name}",
        "title": f"Constellation WS: {dashboard.question}",
        "tags": [_TAG],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards",
                "title": "Other questions",
                "tags": [_TAG],
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {"list": list(_variables())},
        "annotations": {"list": [_annotation(mark) for mark in MARKS]},
        "panels": list(_panels(dashboard.panels)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    for number, name in enumerate(VARIABLES):
        # By those before it.
        selector = ", ".join(f'{wider}=~"${wider}"' for wider in VARIABLES[:number])
        values = f"label_values(constellation_build_info{{{selector}}}, {name})"
        yield {
            "name": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": values, "refId": name},
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


def _annotation(mark: Mark) -> dict[str, Any]:
    return {
        "name": mark.name,
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": mark.colour,
        "expr": mark.query.expr,
        "titleFormat": mark.name,
        "textFormat": mark.query.legend,
    }


def _panels(panels: Iterable[Panel]) -> Iterator[dict[str, Any]]:
    x = y = row = 0
    for number, panel in enumerate(panels, start=1):
        width, height = _SIZES[panel.kind]
        if x + width > _COLUMNS or (x and height != row):
            x, y = 0, y + row
        row = height
        yield _panel(panel, number) | {"gridPos": {"x": x, "y": y, "w": width, "h": height}}
        x += width


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "targets": [_target(query, panel, "ABC"[i]) for i, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _target(query: Query, panel: Panel, ref: str) -> dict[str, Any]:
    target: dict[str, Any] = {"refId": ref, "expr": query.expr, "legendFormat": query.legend}
    if query.exemplars:
        target["exemplar"] = True
    if panel.kind == "stat" and "$__range" not in query.expr:
        target["instant"] = True
    if panel.kind == "heatmap":
        target["format"] = "heatmap"
    return target


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "stat":
        if panel.unit == "short":
            field["decimals"] = 0
        field["color"] = {"mode": "thresholds"}
        field["thresholds"] = {"mode": "absolute", "steps": list(_steps(panel))}
    elif panel.kind == "timeseries":
        stacking = {"stacking": {"mode": "normal"}} if panel.is_stacked else {}
        field["custom"] = {
            "fillOpacity": 30 if panel.is_stacked else 0,
            "showPoints": "never",
        } | stacking
    return field


def _steps(panel: Panel) -> Iterator[dict[str, Any]]:
    yield {"value": None, "color": "red" if panel.green_from is not None else "green"}
    if panel.green_from is not None:
        yield {"value": panel.green_from, "color": "green"}
    if panel.red_from is not None:
        yield {"value": panel.red_from, "color": "red"}


_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none"},
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi"},
    },
    "heatmap": {"calculate": False, "color": {"scheme": "Blues"}, "yAxis": {"unit": "s"}},
}


def _tidy(value: Any, indent: str = "") -> str:
    """Write JSON whose short parts stay in one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _LINE_CHARS or not isinstance(value, dict | list):
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        parts, brackets = [_tidy(one, deeper) for one in value], "[]"
    else:
        parts = [f"{json.dumps(key)}: {_tidy(one, deeper)}" for key, one in value.items()]
        brackets = "{}"
    inside = f",\n{deeper}".join(parts)
    return f"{brackets[0]}\n{deeper}{inside}\n{indent}{brackets[1]}"
