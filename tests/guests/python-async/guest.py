"""python-async: a transform whose world is typed async. Options: `sleep`, ms of the gateway's own clock; `together`, ms of
waits that begin at once ("2000 1000"). It adds 1 to each value, as rust-async does."""

from wit_world.exports import TransformAsync as Base
from wit_world.imports import clock, monotonic_clock, poll
from wit_world.imports.types import Batch, Origin, Settings

MS = 1_000_000
options: dict[str, str] = {}


def together(times: list[int]) -> None:
    """All of them begin now; over when the longest is."""
    left = [monotonic_clock.subscribe_duration(ms * MS) for ms in times]
    while left:
        ready = poll.poll(left)
        for at in sorted(ready, reverse=True):
            left.pop(at).__exit__(None, None, None)


class TransformAsync(Base):
    async def configure(self, settings: Settings) -> None:
        options.clear()
        options.update(settings.options)

    async def transform_readings(self, source: Origin, input: Batch) -> Batch:
        if "sleep" in options:
            clock.sleep(int(options["sleep"]) * MS)
        together([int(ms) for ms in options.get("together", "").split()])
        for reading in input.readings:
            reading.value += 1.0
        return input
