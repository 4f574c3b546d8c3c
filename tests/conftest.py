"""What holds for every test."""

from hypothesis import settings

# A deadline per example measures the machine: a busy one is no fault of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
