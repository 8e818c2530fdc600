"""Leases: who of a pair may lead, as the cloud sees it. One holder at a time, for a time.

Belongs here: granting, and what travels for it. Never: what a gateway does with a lease (member.py). A lease
is counted from the instant at which it was asked for by who holds it, and from the instant at which it was
granted by who grants it: the holder's ends first (Gray and Cheriton 1989 give leases; the rule is theirs,
unchecked).
"""

from __future__ import annotations

from typing import NamedTuple


class LeaseRequest(NamedTuple):
    """``want``: ask or renew; else give it back. ``handed``: the term that the last holder has given up in
    our favour, 0 for none."""

    pair: int
    member: int
    sent_ns: int
    lease_ns: int
    want: bool = True
    handed: int = 0


class LeaseAnswer(NamedTuple):
    """``granted`` in ``term``; else somebody else has it."""

    sent_ns: int
    granted: bool
    term: int


class Leases:
    """One lease a pair."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, int, int]] = {}
        """pair -> (member, term, when it ends)"""
        self.granted = self.refused = 0

    def ask(self, request: LeaseRequest, now_ns: int) -> LeaseAnswer:
        """Grant, renew, refuse, or take back."""
        holder, term, ends_ns = self._held.get(request.pair, (-1, 0, now_ns))
        mine = holder == request.member
        if not request.want:
            if mine:
                self._held[request.pair] = -1, term, now_ns
            return LeaseAnswer(request.sent_ns, False, term)
        handed = bool(request.handed) and request.handed == term
        if not mine and ends_ns > now_ns and not handed:
            self.refused += 1
            return LeaseAnswer(request.sent_ns, False, term)
        if not mine:
            term += 1
            self.granted += 1
        self._held[request.pair] = request.member, term, now_ns + request.lease_ns
        return LeaseAnswer(request.sent_ns, True, term)
