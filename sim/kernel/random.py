"""Random numbers: one stream per (entity, purpose), named, from the scenario's seed.

Belongs here: the only source of randomness in a run. Never: a library's own distributions;
``Generator.normal`` and libm's log give other bits on other CPUs and releases. Raw PCG64 words are turned
into numbers with + - * / and comparisons only, so a stream is the same on every machine.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

_BLOCK = 16
"""words drawn at once: few, as a fleet has thousands of streams"""
_UNIT = 1.0 / (1 << 53)
WORD = 1 << 64


def probability_word(ratio: float) -> int:
    """The threshold below which a raw word means yes, for a probability from 0 to 1."""
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"a probability is 0 to 1, got {ratio}")
    return int(ratio * WORD)


def derive(seed: int, name: str) -> int:
    """A 64-bit key for a named thing under a seed (SHA-256, first 8 bytes)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")


class _Seed(ISeedSequence):
    """A key on its way into a generator, which keeps the object that it was seeded from: numpy's own
    SeedSequence weighs as much as the generator, so what is kept is this one, for all streams."""

    def __init__(self) -> None:
        self.key = 0

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The words that a SeedSequence of the key gives."""
        return np.random.SeedSequence(self.key).generate_state(n_words, dtype)


_SEED = _Seed()


class RandomStream:
    """Raw 64-bit words of a PCG64 (O'Neill 2014, PCG XSL RR 128/64) and what is made of them; numpy draws
    them in blocks."""

    __slots__ = ("_generator", "words")

    def __init__(self, key: int) -> None:
        _SEED.key = key
        self._generator = np.random.PCG64(_SEED)  # type: ignore[arg-type]  # its stub knows SeedSequence only
        self.words = array("Q")
        """drawn and not yet used, the next one last; always this array: who draws in each poll pops by
        itself, and asks ``word`` where it is empty"""

    def word(self) -> int:
        """The next word: 0 to 2**64 - 1."""
        words = self.words
        if not words:
            words.frombytes(self._generator.random_raw(_BLOCK)[::-1].tobytes())
        return words.pop()

    def uniform(self) -> float:
        """0 <= x < 1, 53 bits."""
        return (self.word() >> 11) * _UNIT

    def below(self, count: int) -> int:
        """An int from 0 to count - 1 (Lemire 2019 without rejection: the bias is count / 2**64)."""
        if count <= 0:
            raise ValueError(f"below needs a positive count, got {count}")
        return self.word() * count >> 64

    def spread(self, around: int) -> int:
        """An int from -around to +around."""
        return self.below(2 * around + 1) - around if around else 0

    def normal(self) -> float:
        """Mean 0, deviation 1: the sum of 12 uniforms less 6 (Irwin-Hall); its tails end at 6 deviations."""
        total = 0.0
        for _ in range(12):
            total += self.uniform()
        return total - 6.0

    def exponential(self) -> float:
        """Mean 1, by comparisons only (von Neumann 1951, "Various techniques used in connection with random
        digits")."""
        whole = 0.0
        while True:
            first = last = self.uniform()
            run = 1
            while (following := self.uniform()) < last:
                last = following
                run += 1
            if run % 2:
                return whole + first
            whole += 1.0


class RandomStreams:
    """The streams of one run, made on first use; the order of first uses changes nothing."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, RandomStream] = {}

    def stream(self, name: str) -> RandomStream:
        """The stream of that name, e.g. ``link/plant/presses/3/up/loss``."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = RandomStream(derive(self.seed, name))
        return found

    def key(self, name: str) -> int:
        """A 64-bit key for things that compute their own values (signals)."""
        return derive(self.seed, name)
