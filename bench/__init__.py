"""Benchmarks: what this service adds to a direct call, as ratios measured in one run."""
