"""Pairs of gateways: who leads, and what is handed over."""
