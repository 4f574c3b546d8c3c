"""How each fenced block of the documentation is checked: by its language, or by a test.

A block of a language that is in none of these tables is a fault: say here what checks it.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.documentation import ways
from tests.documentation.pages import Block

BY_LANGUAGE: dict[str, Callable[[Block], str]] = {
    "http": ways.http,
    "json": ways.json_text,
    "properties": ways.settings,
    "python": ways.python,
    "sh": ways.shell,
    "toml": ways.toml,
    "yaml": ways.yaml,
}
"""What finds a fault in any block of a language, whatever its page; empty if there is none."""

BY_COMPILER = frozenset({"js", "jsx", "ts", "html"})
"""Languages of which all blocks are parsed at once: `test_every_block_of_javascript_parses`."""

RUN_BY: dict[tuple[str, str], str] = {
    ("README.md", "js"): "tests/journey/test_printed_clients.py",
    ("README.md", "python"): "tests/journey/test_printed_publishers.py",
    ("README.md", "sh"): "tests/journey/test_first_commands.py",
    ("SECURITY.md", "js"): "tests/unit/backends/test_signing.py",
    ("docs/api.md", "sh"): "tests/journey/test_http_api.py",
    ("docs/clients/browser.md", "js"): "tests/documentation/test_reference.py",
    ("docs/clients/python.md", "python"): "tests/journey/test_printed_publishers.py",
    ("docs/clients/react-native.md", "js"): "tests/journey/test_printed_frameworks.py",
    ("docs/clients/react.md", "js"): "tests/journey/test_printed_frameworks.py",
    ("docs/clients/react.md", "jsx"): "tests/journey/test_printed_frameworks.py",
    ("docs/clients/strict.md", "text"): "tests/journey/test_printed_packets.py",
    ("docs/clients/vue.md", "html"): "tests/journey/test_printed_frameworks.py",
    ("docs/clients/vue.md", "js"): "tests/journey/test_printed_frameworks.py",
    ("docs/delivery.md", "redis"): "tests/journey/test_topologies.py",
    ("docs/interface.md", "console"): "tests/unit/cli/test_main.py",
    ("docs/interface.md", "toml"): "tests/unit/interface/test_documented.py",
    ("docs/log.md", "python"): "tests/unit/log/test_documented_form.py",
    ("docs/migrate.md", "js"): "tests/journey/test_migrate.py",
    ("docs/migrate.md", "sh"): "tests/journey/test_migrate.py",
    ("docs/migrate.md", "toml"): "tests/journey/test_migrate.py",
    ("docs/nestjs.md", "ts"): "tests/chart/test_relations.py",
    ("docs/operations.md", "nginx"): "tests/documentation/test_blocks.py",
    ("docs/operations.md", "yaml"): "tests/chart/test_made_files.py",
    ("docs/presence.md", "redis"): "tests/journey/test_printed_publishers.py",
    ("docs/publish.md", "js"): "tests/journey/test_printed_publishers.py",
    ("docs/publish.md", "python"): "tests/journey/test_printed_publishers.py",
    ("docs/publish.md", "sh"): "tests/journey/test_http_api.py",
    ("docs/reference/settings.md", "redis"): "tests/journey/test_cli.py",
    ("docs/scale.md", "console"): "tests/unit/cli/test_size_report.py",
    ("docs/start.md", "sh"): "tests/journey/test_first_commands.py",
    ("docs/tracing.md", "js"): "tests/journey/test_tracing.py",
    ("docs/tracing.md", "python"): "tests/journey/test_tracing.py",
    ("docs/trust.md", "js"): "tests/journey/test_printed_clients.py",
}
"""The test that runs what a page prints in a language, or compares it with what runs."""

PICTURES: dict[tuple[str, str], int] = {
    ("README.md", "text"): 1,
    ("docs/architecture.md", "text"): 4,
    ("docs/console.md", "text"): 1,
    ("docs/decisions/0013-acks-and-offsets.md", "text"): 1,
    ("docs/metrics.md", "text"): 1,
    ("docs/observability.md", "logql"): 1,
    ("docs/observability.md", "text"): 1,
    ("docs/testing.md", "text"): 1,
    ("docs/tracing.md", "text"): 1,
    ("docs/trust-access.md", "text"): 2,
}
"""Pictures, and what other programs show: so many blocks of a page that nothing can run."""
