"""Scenarios as tests of pytest: the only room that imports pytest, and nothing imports it."""
