"""The limits of the machine and of the event loop."""
