"""Everything fails that can, and each client is judged by what publishers were acknowledged for.

`python -m tests.chaos` runs it; docs/testing.md says how to read the verdict.
"""
