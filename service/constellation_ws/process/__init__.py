"""The process: its lifetime, its servers, its drain and its end."""
