"""The parts of one process, made from the settings in the order in which they need each other."""
