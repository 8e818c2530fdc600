"""Our own side's failures, importable without wasmtime. Guests' faults are values: outcome.py."""

from __future__ import annotations


class HostError(RuntimeError):
    """Our own side failed: an import handler raised, or the host was used after its close."""


class HostLimitError(HostError):
    """This machine can't hold that many instances; the message says which limit and how to raise it."""
