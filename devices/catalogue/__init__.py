"""The models that ship, SunSpec's, and recordings."""
