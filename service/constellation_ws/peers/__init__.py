"""Communication between pods: where they are, and what they forward to each other.

A client's requests may reach any pod. A session ID begins with the instance of the pod that opened
the session. A request is forwarded to that pod over a link, a WebSocket through a tunnel until its
session has moved to the pod that received it. Why links of our own:
docs/decisions/0011-peer-links.md.
"""
