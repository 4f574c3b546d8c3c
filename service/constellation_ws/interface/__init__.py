"""What crosses the gateway, as data: its table, read and checked at the start."""
