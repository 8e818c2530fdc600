"""Signed releases of components."""
