"""Recovery: sessions, what a reconnecting client missed, and how it is sent."""
