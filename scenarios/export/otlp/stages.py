"""When each piece of a sample's time was: an account of stages that remembers, and the pieces in their order.

Belongs here: instants of stages. Never: spans (ways.py), how long a stage took in all
(sim/accounts/latency.py: the account adds up, whoever remembers). Time is booked at the instant at which a
piece has ended, so a piece ends now and began that much earlier. Readers that listen correct
their account when they know which sample it was: the pieces are held against the sums, and what the sums
don't have is no piece of that sample.
"""

from __future__ import annotations

from typing import NamedTuple, SupportsIndex

from twinloop.sim.accounts.latency import BUS, QUEUE, STAGES, UPLINK, StageTimes
from twinloop.sim.kernel.clock import Environment


class Piece(NamedTuple):
    """Time in one stage; ``what``: what a queue waited for, empty where that isn't known."""

    begin_ns: int
    end_ns: int
    stage: int
    what: str


class _Remembering(list[int]):
    """ns by stage; what is added is remembered with its instants."""

    __slots__ = ("env", "pieces", "what")

    def __init__(self, env: Environment) -> None:
        super().__init__([0] * len(STAGES))
        self.env, self.what = env, ""
        self.pieces: list[Piece] = []

    def __setitem__(self, stage: SupportsIndex | slice, value: object) -> None:
        assert isinstance(stage, int)
        assert isinstance(value, int)
        took_ns, now = value - self[stage], self.env.now
        super().__setitem__(stage, value)
        # what would lie before the end of the last piece is a correction of the account, and no piece
        if took_ns > 0 and (not self.pieces or self.pieces[-1].end_ns <= now - took_ns):
            self.pieces.append(Piece(now - took_ns, now, stage, self.what))


class RememberedTimes(StageTimes):
    """As StageTimes, and knows when each piece was."""

    __slots__ = ("_remembered",)

    def __init__(self, env: Environment) -> None:
        super().__init__()
        self.spent_ns = self._remembered = _Remembering(env)

    def waited(self, time_ns: int, what: str) -> None:
        """Time in the queue for ``what``."""
        self._remembered.what = what
        super().waited(time_ns, what)
        self._remembered.what = ""

    def pieces(self) -> list[Piece]:
        """The pieces until now, in order, neighbours of one stage as one. What the account has beyond them
        lay before: the wait for what a device says by itself, and behind the message before it."""
        left = list(self.spent_ns)
        found: list[Piece] = []
        for piece in reversed(self._remembered.pieces):
            took_ns = min(left[piece.stage], piece.end_ns - piece.begin_ns)
            if took_ns > 0:
                found.append(piece._replace(begin_ns=piece.end_ns - took_ns))
                left[piece.stage] -= took_ns
            if took_ns < piece.end_ns - piece.begin_ns:
                break
        begin_ns = found[-1].begin_ns if found else self._remembered.env.now
        for stage in (QUEUE, BUS):
            if left[stage]:
                found.append(Piece(begin_ns - left[stage], begin_ns, stage, ""))
                begin_ns -= left[stage]
        return _joined(found[::-1])


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one stage are one."""
    out: list[Piece] = []
    for piece in pieces:
        last = out[-1] if out else None
        if last is not None and last[1:] == (piece.begin_ns, piece.stage, piece.what):
            out[-1] = last._replace(end_ns=piece.end_ns)
        else:
            out.append(piece)
    return out


def promoted(held: list[Piece], times: StageTimes, now_ns: int) -> list[Piece]:
    """The pieces of a verdict that a standby had kept back, and has carried out now: those until then, the
    wait for its promotion, and the work for the uplink."""
    work_ns = times.spent_ns[UPLINK] - spent(held)[UPLINK]
    if not held or work_ns < 0:
        return held
    waited = Piece(held[-1].end_ns, now_ns - work_ns, QUEUE, "promotion")
    work = Piece(now_ns - work_ns, now_ns, UPLINK, "")
    return _joined([*held, *(one for one in (waited, work) if one.end_ns > one.begin_ns)])


def spent(pieces: list[Piece]) -> list[int]:
    """ns by stage."""
    sums = [0] * len(STAGES)
    for piece in pieces:
        sums[piece.stage] += piece.end_ns - piece.begin_ns
    return sums
