"""Scrubbing of personal data, around Presidio."""
