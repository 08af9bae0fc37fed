"""Intervals, bootstrap and multiplicity: the only home of statistics."""
