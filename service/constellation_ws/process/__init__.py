"""The process: made from the settings, run, drained and stopped."""
