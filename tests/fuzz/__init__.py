"""Fuzz targets, and what they hold against any input; the unit tests run the same, bounded."""
