"""A model of Redis: what the gateway uses of it, its Lua scripts included, and how it fails.

tests/simulation/contract compares it with a real Valkey.
"""
