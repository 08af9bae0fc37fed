"""Training recipes, private or not by one setting."""
