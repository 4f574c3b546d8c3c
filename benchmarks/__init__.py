"""How fast, how small and how quick the gateway is, next to its peers, on one machine.

Here live the workloads, the servers they are put on, the load generator and the arithmetic of
the comparison. Nothing of `service` is imported: every server is a process, measured from outside.
`python -m benchmarks --help` says how to run them, README.md how to read them.
"""
