"""Expectations: their grammar, what is measured, verdicts and reasons."""
