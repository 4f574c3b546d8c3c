"""TLS: handshakes on a listening port, and files that may be renewed."""
