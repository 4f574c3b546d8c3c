"""The HTTP API for services: its keys, its operations and their description, and its requests."""
