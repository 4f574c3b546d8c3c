"""The command line: one function per command, and what only commands need."""
