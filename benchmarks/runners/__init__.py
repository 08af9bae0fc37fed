"""The processes of `benchmarks.runner`: one per runner that is weighed, and a server on a bad day."""
