"""compose.yaml fits the rest: settings that the gateway accepts, files and names that exist."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from constellation_ws.settings.settings import fields, load
from tests.chaos.balancer import caddy_executable
from tests.processes import REPOSITORY
from tools.example import EXAMPLES, example

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
CADDYFILE = EXAMPLES / "chat" / "Caddyfile"


def plain(environment: dict[str, str]) -> dict[str, Any]:
    """The variables as they are if the caller sets none."""
    return {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in environment.items()
    }


def test_the_gateways_accept_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name for name, _ in fields()}
    for name in ("gateway-1", "gateway-2"):
        given = plain(SERVICES[name]["environment"])
        assert given.keys() <= known
        with monkeypatch.context() as environment:
            for variable, value in given.items():
                environment.setenv(variable, value)
            settings = load()
        assert settings.identity.auth_mode == "jwt"
        drain = settings.draining.drain_delay_seconds + settings.draining.drain_window_seconds
        assert drain + 10 <= int(SERVICES[name]["stop_grace_period"].removesuffix("s"))


def test_the_api_signs_what_the_gateways_verify_and_gets_what_the_example_needs() -> None:
    api, gateway = (plain(SERVICES[name]["environment"]) for name in ("api", "gateway-1"))
    assert api["JWT_SECRET"] == gateway["CONSTELLATION_JWT_SECRET"]
    assert api["REDIS_URL"] == gateway["REDIS_URL"]
    wanted = {"REDIS_URL", "GATEWAY_URL", "GATEWAY_TCP", "PORT", *example("chat").service}
    assert api.keys() == wanted


def test_what_is_mounted_exists_and_what_is_named_is_a_service() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (REPOSITORY / source).exists()
        assert set(service.get("depends_on", [])) <= SERVICES.keys()
        assert "image" in service or (REPOSITORY / service["build"] / "Dockerfile").exists()
    hosts = re.findall(r"\b([a-z0-9-]+):\d{4}", CADDYFILE.read_text("utf-8"))
    assert set(hosts) == {"gateway-1", "gateway-2", "api"}


def test_caddy_accepts_its_file_and_listens_where_the_page_is_opened() -> None:
    command = [caddy_executable(), "adapt", "--config", str(CADDYFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (server,) = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    assert server["listen"] == [":8080"]
    assert SERVICES["caddy"]["ports"] == ["8080:8080"]
    assert SERVICES["api"]["environment"]["GATEWAY_URL"] == "http://localhost:8080"
