"""Our own side's failures, importable without wasmtime. Guests' faults are values: outcome.py."""

from __future__ import annotations


class HostError(RuntimeError):
    """Our own side failed: an import handler raised, or the host was used after its close."""


class WrongValue(HostError, ValueError):
    """Our own side would have handed a guest what is no value of the WIT type; the message says where in it.
    Nothing has reached the guest."""


class GuestEnded(Exception):
    """Raised by an import handler to end the guest: ``cause`` is the value of a Cause (host/outcome.py), the
    message says what it did. The guest's fault, never ours."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class HostLimitError(HostError):
    """This machine can't hold that many instances; the message says which limit and how to raise it."""
