"""The binary format of components, read."""
