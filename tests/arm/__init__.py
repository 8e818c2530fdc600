"""Tests of what runs alike on ARM64, in an emulator (``make test-arm``)."""
