"""Moves sessions between pods while their clients stay connected.

A session moves if another pod than its own has received its client's WebSocket. After the move
nothing of it is left at the former pod. `peers` carries the bytes from pod to pod.
"""
