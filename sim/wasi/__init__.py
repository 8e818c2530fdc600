"""What WASI 0.2 means on a simulated gateway."""
