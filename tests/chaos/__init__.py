"""Nothing lost: three gateways behind a load balancer, while everything fails that can.

`python -m tests.chaos` (or `make chaos`) runs it at length; `test_chaos` runs the short version.
"""
