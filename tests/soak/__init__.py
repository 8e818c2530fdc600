"""Random valid scenarios, run twice and in other ways: no BROKEN, no traceback, books that add up, equal
digests (``python -m tests.soak``)."""
