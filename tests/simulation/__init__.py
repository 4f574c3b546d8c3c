"""Simulation: whole gateways, a modelled Redis and clients in one process, on virtual time.

Everything is drawn from a seed, so that a run repeats exactly: see docs/testing.md.
"""
