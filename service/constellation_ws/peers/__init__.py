"""What pods say to each other directly: who they are, whose sessions they hold, and what is theirs.

A client's requests may reach any pod. Session IDs begin with the name of the pod that holds them,
so a request goes there over one link per pair of pods, and a WebSocket through a tunnel until its
session has moved to where it arrived. Why links of our own: docs/decisions/0011-peer-links.md.
"""
