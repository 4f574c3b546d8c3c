"""What operators see: metrics, traces, logs and probes."""
