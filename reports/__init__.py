"""Renderings of a record; none computes a figure of its own."""
