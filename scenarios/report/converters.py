"""Converters in a result: what became of the requests to each.

Belongs here: their figures, and the notes on what a reader should know. Never: their lines (result.py).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.text.words import number_of


def figures(world: Run) -> dict[str, Any]:
    """Converter -> its books: requests by what became of them; ``inside``: those that were in it at the
    end."""
    return {
        name: {**asdict(converter.books), "inside": converter.inside}
        for name, converter in world.field.converters.items()
    }


def stories(world: Run) -> list[str]:
    """What went wrong at each, in words."""
    told = []
    for name, converter in world.field.converters.items():
        books = converter.books
        parts = [
            text
            for count, text in (
                (books.timeouts, f"{number_of(books.timeouts, 'request')} had no answer on its line in time"),
                (books.refused, f"its queue was full {number_of(books.refused, 'time')}"),
                (books.turned_away, f"{number_of(books.turned_away, 'connection')} too many refused"),
                (books.left, f"{number_of(books.left, 'request')} dropped whose connection had ended"),
                (books.strays, f"{number_of(books.strays, 'answer')} put aside that nobody waited for"),
            )
            if count
        ]
        if parts:
            told.append(f"converter {name}: {'; '.join(parts)}")
    return told
