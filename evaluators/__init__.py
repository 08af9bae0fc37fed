"""One aspect of a model each; none imports another."""
