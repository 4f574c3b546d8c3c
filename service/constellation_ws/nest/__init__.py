"""The TCP port for NestJS services: its framing, its connections and its requests."""
