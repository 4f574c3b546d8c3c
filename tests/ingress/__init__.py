"""Default clients behind any ingress: real proxies that balance requests, and no sticky sessions.

Lives here: what leads each request to another pod than the one before, and whether clients notice.
`make test` runs it with few clients; `make ingress` with many, and while pods are replaced.
"""
