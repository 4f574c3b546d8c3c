"""Recording: what Pub/Sub brings is written to the log by one pod at a time."""
