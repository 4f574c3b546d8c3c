"""Constellation WS: a Kubernetes-native Socket.IO gateway fed by Redis.

Packages are layers and import only downwards. `delivery/relay` is the path of one event, and the
place to start reading; docs/architecture.md draws the layers.
"""

__version__ = "0.1.0"
