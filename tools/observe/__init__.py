"""The local view: pods under a demo load, a Prometheus that watches them, and their traces.

`python -m tools.observe` runs it until Ctrl-C, with `--sheet` it draws every panel and ends.
"""
