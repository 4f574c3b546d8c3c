"""The log of events in Redis: following it, reading it back, appending to it, and its epoch."""
