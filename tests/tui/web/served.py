"""Small processes that speak to textual-serve as Textual's web driver does: a line that says so, then packets of
a letter, a length, and bytes."""

from __future__ import annotations

import shlex
import sys

BEGIN = r"import os, sys; say = lambda data: os.write(1, b'D' + len(data).to_bytes(4, 'big') + data); os.write(1, b'__GANGLION__\n'); say(b'hello')"
_LISTEN = """
while (data := os.read(0, 65536)) and b'"quit"' not in data:
    say(data[5:])
"""


def command(code: str) -> str:
    """A shell's command that begins so and then runs the code."""
    return f"exec {shlex.join([sys.executable, '-I', '-S', '-c', f'{BEGIN}{code}'])}"


SAYS_HELLO = command(_LISTEN)
"""and then what it is sent, without the packet's head, until it is to quit"""
DEAF = command("\nimport time\nsay(str(os.getpid()).encode())\nwhile True: time.sleep(60)")
"""to whatever it is asked; it says which process it is"""
LEAVES = command("")
"""at once"""
FAILS = "exit 7"
"""before it says that it is an application"""
