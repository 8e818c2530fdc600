"""The way of a sample where the transform may add points: what it adds rides in the same messages.

Belongs here: what is other on such a gateway, so that the usual way pays nothing for it. Never: counting
(sim/accounts/derived.py), which points are declared (wiring.py). Derived points have bits above those of the
device's own, so masks of batches, verdicts and alerts name both; rows know only the device's.
"""

from __future__ import annotations

from twinloop.components.contract.contract import Verdict
from twinloop.components.host.batch import Batch
from twinloop.devices.model.statuses import NO_NUMBER
from twinloop.sim.accounts.derived import Riding
from twinloop.sim.accounts.latency import StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import DerivedMessage, Message
from twinloop.sim.gateway.masks import mask_within
from twinloop.sim.gateway.pipeline import CALLED_GOOD, Pipeline
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.gateway.slot import Slot


class DerivingPipeline(Pipeline):
    """Of one gateway whose component says ``derives``."""

    def _kept(self, reader: Reader, slot: Slot, row: Row, batch: Batch) -> int | str:
        """As the usual way's; what is derived begins here."""
        table = reader.table
        kept = mask_within(batch.every_point(), table.bits, row.read | table.extra)
        reader.riding = None
        if isinstance(kept, str) or not kept & table.extra:
            return kept
        statuses = dict(zip(batch.points, batch.statuses, strict=True))
        for point, value in zip(batch.points, batch.values, strict=True):
            if value - value != 0.0 and not statuses[point] >> 30 and table.bits[point] & table.extra:
                statuses[point] = NO_NUMBER
                self.supervisor.complaints.error(self._env.now, slot, reader.name, CALLED_GOOD)
        statuses |= {text.point: text.status for text in batch.texts}
        account, leads = self.books.derived, self.member.sends
        reader.riding = Riding(
            account,
            {
                bit: account.produce(row, point.name, statuses[point.id], leads)
                for bit, point in table.derived.items()
                if bit & kept
            },
        )
        for told in self.books.on_derived:
            told(reader, row, batch)
        return kept

    def _lost(self, reader: Reader, row: Row, mask: int, cause: str) -> None:
        super()._lost(reader, row, mask, cause)
        reader.lose_derived(cause)

    def _composed(
        self, reader: Reader, row: Row, mask: int, verdict: Verdict, batch: Batch
    ) -> Message | None:
        message = super()._composed(reader, row, mask, verdict, batch)
        if message is None and reader.riding is not None:
            reader.riding.part(mask).end(End.DROPPED, "policy")
            reader.riding.hand_over(mask)
        return message

    def compose(self, reader: Reader, row: Row, mask: int, lane: int, batch: Batch) -> Message:
        """As the usual way's, with the derived readings among these points."""
        table = reader.table
        if mask.bit_count() != len(batch.points) + len(batch.texts):
            batch = batch.only(dict.fromkeys(point for point, bit in table.bits.items() if bit & mask))
        body = table.body.of(reader.name, row.k, batch)
        extra = mask & table.extra
        if not extra or reader.riding is None:
            return Message(row, mask, lane, reader.topic, body)
        return DerivedMessage(
            row=row,
            mask=mask & ~extra,
            lane=lane,
            topic=reader.topic,
            body=body,
            extra=extra,
            riding=reader.riding.part(extra),
        )

    def carried(
        self,
        reader: Reader,
        row: Row,
        mask: int,
        how: str,
        times: StageTimes | None = None,
        late: bool = False,
    ) -> None:
        """As the usual way's: a message has its derived readings in its care."""
        if how != "drop" and row is reader.row and reader.riding is not None:
            reader.riding.hand_over(mask)
        super().carried(reader, row, mask, how, times, late)

    def hold(self, reader: Reader, row: Row, verdict: Verdict, message: Message) -> None:
        """As the usual way's."""
        super().hold(reader, row, verdict, message)
        if reader.riding is not None:
            reader.riding.hand_over(message.all_points)
