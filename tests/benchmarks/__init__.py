"""Of benchmarks, what they say; never how fast something is."""
