"""WASI on a simulated gateway, by itself."""
