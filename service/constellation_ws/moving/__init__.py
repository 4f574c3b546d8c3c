"""Sessions that move between pods while their client stays connected: away from one, on at another.

The client's WebSocket has arrived at another pod than its session; after the move nothing of the
session is left where it was. How bytes get from pod to pod is known to `peers`.
"""
