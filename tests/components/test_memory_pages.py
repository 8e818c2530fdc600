"""Pages of memories that are kept once: nobody sees a difference."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from twinloop.components.contract.errors import HostLimitError
from twinloop.components.host.capi import MEMORY
from twinloop.components.host.memory import IMAGES_MAX, Images, MemoryCreator

PAGE = mmap.PAGESIZE
SIZE, MAPPED = 16 * PAGE, 64 * PAGE
ANONYMOUS, RW = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux only")


class Room:
    """Memories as the creator makes them, without guests."""

    def __init__(self) -> None:
        self.libc = MemoryCreator()._libc
        self.images = Images(self.libc.mmap, self.libc.mprotect)
        self.made: list[int] = []

    def memory(self, **pages: int) -> int:
        """One with that byte all over the pages ``p<number>``."""
        at: int = self.libc.mmap(None, MAPPED, 0, ANONYMOUS, -1, 0)
        assert self.libc.mprotect(at, SIZE, RW) == 0
        self.made.append(at)
        for name, byte in pages.items():
            first = at + int(name[1:]) * PAGE
            MEMORY[first : first + PAGE] = bytes([byte]) * PAGE
        return at

    def share(self, at: int, of: str = "a") -> int:
        return self.images.share(of, at, SIZE, MAPPED)


def held(at: int, size: int = SIZE) -> bytes:
    return bytes(MEMORY[at : at + size])


def private_pages(at: int) -> int:
    """As the kernel counts them."""
    inside = False
    with open("/proc/self/smaps", encoding="utf-8") as file:
        for line in file:
            if line.split()[0].partition("-")[2]:
                inside = line.startswith(f"{at:x}-")
            elif inside and line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024 // PAGE
    raise AssertionError("no such mapping")


@pytest.fixture
def room() -> Iterator[Room]:
    found = Room()
    yield found
    for at in found.made:
        found.libc.munmap(at, MAPPED)


def test_what_is_alike_is_shared_and_what_isnt_stays(room: Room) -> None:
    one, two, three = room.memory(p1=7, p3=8), room.memory(p1=7, p3=8, p9=9), room.memory(p1=7, p3=1, p4=2)
    before = [held(at) for at in (one, two, three)]
    assert [room.share(at) for at in (one, two, three)] == [0, 3, 1], "the second makes the image"
    assert [held(at) for at in (one, two, three)] == before
    assert (private_pages(two), private_pages(three)) == (0, 3), "3 and 4 are its own, 9 it hasn't got"


def test_who_writes_writes_for_itself(room: Room) -> None:
    two, three = (room.memory(p1=7) for _ in range(2))
    room.share(room.memory(p1=7))
    assert [room.share(two), room.share(three)] == [1, 1]
    MEMORY[two + PAGE] = 200
    assert (MEMORY[two + PAGE], MEMORY[three + PAGE]) == (200, 7)
    assert (private_pages(two), private_pages(three)) == (1, 0)


def test_a_memory_that_grows_later_is_empty_there_and_one_mapping(room: Room) -> None:
    room.share(room.memory(p1=7))
    at = room.memory(p1=7)
    assert room.share(at) == 1
    assert room.libc.mprotect(at, 2 * SIZE, RW) == 0
    assert held(at + SIZE) == bytes(SIZE)
    MEMORY[at + SIZE] = 1
    with open("/proc/self/maps", encoding="utf-8") as file:
        lines = [line for line in file if at <= int(line.partition("-")[0], 16) < at + MAPPED]
    assert [line.split()[1] for line in lines] == ["rw-p", "---p"]


def test_sizes_and_components_have_images_of_their_own(room: Room) -> None:
    room.share(room.memory(p1=7))
    assert room.share(room.memory(p1=7), of="b") == 0
    assert room.images.share("a", room.memory(p1=7), SIZE // 2, MAPPED) == 0, "who grows reads zeros there"
    for number in range(2 * IMAGES_MAX):
        assert room.share(room.memory(), of=f"c{number}") == 0
    assert len(room.images._images) == IMAGES_MAX
    assert room.share(room.memory(p1=7), of="new") == room.share(room.memory(p1=7), of="new") == 0


@pytest.mark.parametrize("call", ["memfd_create", "ftruncate", "pwrite"])
def test_where_the_system_refuses_all_stays_as_it_was(
    room: Room, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuses(*args: object) -> int:
        raise OSError("not here")

    room.share(room.memory(p1=7))
    monkeypatch.setattr(os, call, refuses)
    at = room.memory(p1=7)
    assert room.share(at) == 0
    monkeypatch.undo()
    assert room.share(at) == 0, "it isn't asked again"
    assert held(at)[PAGE] == 7
    assert private_pages(at) == 1


def test_where_addresses_are_refused_all_stays_as_it_was(room: Room) -> None:
    room.images._place = lambda *args: None
    at = room.memory(p1=7)
    assert [room.share(room.memory(p1=7)), room.share(at)] == [0, 0]
    assert held(at)[PAGE] == 7


def test_a_memory_that_is_gone_is_this_machines_fault(room: Room) -> None:
    room.share(room.memory(p1=7))
    room.images._protect = lambda *args: -1
    with pytest.raises(HostLimitError):
        room.share(room.memory(p1=7))
