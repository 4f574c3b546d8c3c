"""Real NestJS clients over TLS and mutual TLS, against the process that production runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.journey.conftest import StartGateway
from tests.journey.test_nest_port import MAJORS, nest_client
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_nest_clients_reach_the_port_over_tls_across_a_new_certificate(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    cert_file, key_file = authority.issue("server")
    settings = {
        "CONSTELLATION_TCP_TLS_CERT_FILE": cert_file,
        "CONSTELLATION_TCP_TLS_KEY_FILE": key_file,
    }
    async with gateway(valkey.url, **settings) as pod:
        for major in MAJORS:
            authority.issue("server")
            async with nest_client(major, pod.tcp_port, {"ca": authority.cert_file}) as nest:
                assert (await nest.send("ping", {}))["value"]["data"]["pong"] is True
        assert len(pod.log("tls files reloaded")) == len(MAJORS)
        assert pod.stray_lines() == []


async def test_with_mutual_tls_a_nest_client_without_a_certificate_stays_outside(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    cert_file, key_file = authority.issue("server")
    client_cert, client_key = authority.issue("api")
    settings = {
        "CONSTELLATION_TCP_TLS_CERT_FILE": cert_file,
        "CONSTELLATION_TCP_TLS_KEY_FILE": key_file,
        "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE": authority.cert_file,
    }
    known = {"ca": authority.cert_file, "cert": client_cert, "key": client_key}
    async with gateway(valkey.url, **settings) as pod:
        for major in MAJORS:
            async with nest_client(major, pod.tcp_port, known) as nest:
                assert (await nest.send("ping", {}))["value"]["data"]["pong"] is True
        async with nest_client(MAJORS[-1], pod.tcp_port, {"ca": authority.cert_file}) as nest:
            assert "error" in await nest.send("ping", {})

        async def is_counted() -> bool:
            refused = await pod.metric("constellation_tcp_refused_total", reason="tls_handshake")
            return refused > 0

        await eventually(is_counted, PATIENCE_SECONDS, "the refusal is counted")
        assert pod.stray_lines() == []
