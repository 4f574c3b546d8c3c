"""Constellation WS: a Kubernetes-native Socket.IO gateway fed by Redis.

The modules stand on floors and import only downwards; `relay` tells the journey of one event and is
the place to start reading. docs/architecture.md draws the floors.
"""

__version__ = "0.1.0"
