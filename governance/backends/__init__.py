"""Models under audit: local ones and API ones behind one protocol."""
