"""A device as a model: points, signals, physics, what lies."""
