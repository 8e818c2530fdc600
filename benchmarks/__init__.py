"""Ratios measured within one run; ``make bench`` exits 1 when one is broken. No test depends on these."""
