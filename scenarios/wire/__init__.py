"""Scenarios over real sockets and lines."""
