"""Quality per task."""
