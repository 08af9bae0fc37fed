"""Intervals, resampling and multiplicity on small tables of counts: cost does not grow with draws times rows."""
