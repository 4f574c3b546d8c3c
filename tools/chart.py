"""Writes what is made: the chart's table of values, its schema's list of settings, its dashboards,
k8s/base, and what k8s/observability has of the chart.

`python -m tools.chart` writes; `stale` names what would change, for the test that says so. Helm is
the one that `make setup` brings.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from constellation_ws.settings.part import PREFIX
from constellation_ws.settings.settings import fields
from tools.dashboards import DASHBOARDS
from tools.dashboards.grafana import to_json

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "constellation-ws"
BASE = ROOT / "k8s" / "base" / "constellation-ws.yaml"
ALERTS = CHART / "alerts.yaml"
OBSERVABILITY = ROOT / "k8s" / "observability"
HELM = ROOT / ".venv" / "kube" / "helm4"

_MADE = "# Made from helm/constellation-ws by `make chart`; change the chart, not this file."
_OWNED = {
    "CONSTELLATION_API_KEYS",
    "CONSTELLATION_API_PORT",
    "CONSTELLATION_AUTH_MODE",
    "CONSTELLATION_CHAT_ACCESS",
    "CONSTELLATION_CHAT_ACCESS_PATTERN",
    "CONSTELLATION_CHAT_ACCESS_TIMEOUT_SECONDS",
    "CONSTELLATION_CHAT_ACCESS_TOKEN",
    "CONSTELLATION_CHAT_ACCESS_URL",
    "CONSTELLATION_CONSOLE",
    "CONSTELLATION_CONSOLE_ACCESS",
    "CONSTELLATION_CONSOLE_EVENTS",
    "CONSTELLATION_CONSOLE_KEY",
    "CONSTELLATION_DRAIN_DELAY_SECONDS",
    "CONSTELLATION_DRAIN_WINDOW_SECONDS",
    "CONSTELLATION_MAX_CONNECTION_AGE_SECONDS",
    "CONSTELLATION_INTERFACE_FILE",
    "CONSTELLATION_METRICS_PORT",
    "CONSTELLATION_PEER_ADDRESS",
    "CONSTELLATION_PEER_PORT",
    "CONSTELLATION_REDIS_SENTINEL_PASSWORD",
    "CONSTELLATION_REDIS_URL_PASSWORD",
    "CONSTELLATION_REDIS_USERNAME",
    "CONSTELLATION_ROUTES_FILE",
    "CONSTELLATION_TCP_TLS_CERT_FILE",
    "CONSTELLATION_TCP_TLS_KEY_FILE",
    "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE",
}
"""Settings that the chart has values of its own for; `config` must not contradict them."""


_TOKENS = f"{PREFIX}JWT_"
"""What `auth.jwt` is for, and a secret among it."""


def made() -> Iterator[tuple[Path, str]]:
    """Yield each file that is made and the text it should have; the last needs those before."""
    yield CHART / "README.md", _readme()
    yield CHART / "values.schema.json", _schema()
    for folder in (CHART, OBSERVABILITY):
        for dashboard in DASHBOARDS:
            yield folder / "dashboards" / f"{dashboard.name}.json", to_json(dashboard)
    yield OBSERVABILITY / "alerts.yaml", f"{_MADE}\n{ALERTS.read_text(encoding='utf-8')}"
    yield BASE, _base()


def stale() -> list[str]:
    """Name the files that are not as they should be."""
    return [
        str(path.relative_to(ROOT))
        for path, text in made()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def values_rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (key, default, sentence) for each commented value of a values.yaml.

    A value with a comment is one row, whatever lies below it; one without is looked into.
    """
    defaults = yaml.safe_load(text)
    path: list[str] = []
    sentence: list[str] = []
    deeper_than = None
    for line in text.splitlines():
        content = line.strip()
        depth = (len(line) - len(line.lstrip())) // 2
        key = re.match(r"([A-Za-z]+):", content)
        if deeper_than is not None and (depth > deeper_than or content.startswith("- ")):
            continue
        deeper_than = None
        if content.startswith("# "):
            sentence.append(content[2:])
        elif key is None:
            sentence = []
        else:
            path = [*path[:depth], key[1]]
            if sentence:
                yield ".".join(path), json.dumps(_at(defaults, path)), " ".join(sentence)
                sentence, deeper_than = [], depth


def _at(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key]
    return values


def _readme() -> str:
    rows = values_rows((CHART / "values.yaml").read_text(encoding="utf-8"))
    table = "\n".join(f"| `{key}` | `{default}` | {sentence} |" for key, default, sentence in rows)
    begin, end = "<!-- values: generated -->", "<!-- values: end -->"
    before = (CHART / "README.md").read_text(encoding="utf-8")
    head, _, rest = before.partition(begin)
    tail = rest.partition(end)[2]
    return (
        f"{head}{begin}\n| Value | Default | Meaning |\n| --- | --- | --- |\n{table}\n{end}{tail}"
    )


def _schema() -> str:
    path = CHART / "values.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["properties"]["config"]["properties"] = {
        name: {"type": ["string", "number", "boolean"], "description": field.description}
        for name, field in fields()
        if name.startswith(PREFIX) and name not in _OWNED and not name.startswith(_TOKENS)
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _base() -> str:
    """Render the chart with its defaults, for those who want no Helm."""
    rendered = subprocess.run(
        [HELM, "template", "constellation-ws", CHART, "--no-hooks", "--namespace", "default"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    documents = [document for document in yaml.safe_load_all(rendered) if document]
    for document in documents:
        _forget_helm(document)
    text = yaml.safe_dump_all(documents, sort_keys=False, width=120)
    return f"{_MADE}\n{text}"


def _forget_helm(node: Any) -> None:
    """Take out what only a release has: Helm's labels, and the namespace, which kustomize sets."""
    if isinstance(node, dict):
        for labels in (node.get("labels"), node.get("matchLabels")):
            for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                (labels or {}).pop(label, None)
        node.get("metadata", {}).pop("namespace", None)
        children: Any = node.values()
    elif isinstance(node, list):
        children = node
    else:
        return
    for child in children:
        _forget_helm(child)


def main() -> None:
    """Write all of it."""
    for path, text in made():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
