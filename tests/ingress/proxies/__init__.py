"""Proxies that lead each request, or each connection, to the next pod in turn.

Lives here: a configuration for each, without stickiness and otherwise with the proxy's defaults
where they let a long poll and a WebSocket live. Sticky ones are in `tests.proxies`.
"""
