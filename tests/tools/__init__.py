"""Tests of what works with other people's tools, each an extra (``make test-tools``)."""
