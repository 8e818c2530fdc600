"""A core WebAssembly module as far as an OPA policy must be read: imports, exports, constants, texts.

Belongs here: reading (WebAssembly core specification 3.0, section 5.5). Never: what a policy must be like.
Whatever the bytes are, reading them raises Malformed or ends.
"""

from __future__ import annotations

from typing import NamedTuple

IMPORT, MEMORY_SECTION, GLOBAL, EXPORT, CODE, DATA = 2, 5, 6, 7, 10, 11
FUNCTION, TABLE, MEMORY, GLOBAL_KIND, TAG = range(5)
_LOCAL_GET, _LOCAL_SET, _CALL, _I32_CONST, _I64_CONST, _END = 0x20, 0x21, 0x10, 0x41, 0x42, 0x0B


class Malformed(ValueError):
    """Not a core module, or a damaged one."""


class Import(NamedTuple):
    """``pages``: of a memory, the least it needs."""

    module: str
    name: str
    kind: int
    pages: int


class Reader:
    """Bytes, read from ``at``."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        """The next one."""
        if self.at >= len(self.data):
            raise Malformed("it ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        """The next ``count``."""
        if self.at + count > len(self.data):
            raise Malformed("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def unsigned(self) -> int:
        """A LEB128 number."""
        value = shift = 0
        while shift < 70:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise Malformed("a number that is too long")

    def signed(self) -> int:
        """A signed LEB128 number."""
        begin = self.at
        value = self.unsigned()
        bits = 7 * (self.at - begin)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def name(self) -> str:
        """Text with its length before it."""
        try:
            return self.take(self.unsigned()).decode()
        except UnicodeDecodeError as error:
            raise Malformed("a name that is no UTF-8") from error

    def limits(self) -> int:
        """Of a memory or table: the least."""
        flags, least = self.byte(), self.unsigned()
        if flags & 1:
            self.unsigned()
        return least


class CoreModule:
    """``imports``; ``exports`` by name: (kind, index)."""

    def __init__(self, data: bytes) -> None:
        if data[:8] != b"\0asm\x01\0\0\0":
            raise Malformed("no core module")
        self._sections: dict[int, Reader] = {}
        whole = Reader(data, 8)
        while whole.at < len(data):
            kind = whole.byte()
            self._sections.setdefault(kind, Reader(whole.take(whole.unsigned())))
        self.imports = self._imports()
        self.exports: dict[str, tuple[int, int]] = {}
        section = self._section(EXPORT)
        for _ in range(section.unsigned()):
            name = section.name()
            self.exports[name] = section.byte(), section.unsigned()

    def _section(self, kind: int) -> Reader:
        return Reader(self._sections[kind].data if kind in self._sections else b"\0")

    def _imports(self) -> list[Import]:
        section, found = self._section(IMPORT), []
        for _ in range(section.unsigned()):
            module, name, kind, pages = section.name(), section.name(), section.byte(), 0
            if kind == FUNCTION:
                section.unsigned()
            elif kind == TABLE:
                section.byte()
                section.limits()
            elif kind == MEMORY:
                pages = section.limits()
            elif kind in (GLOBAL_KIND, TAG):
                section.take(2)
            else:
                raise Malformed(f"an import of an unknown kind {kind}")
            found.append(Import(module, name, kind, pages))
        return found

    def constant(self, name: str) -> int | None:
        """The value of an exported global that is an i32 constant; None if there is none."""
        kind, index = self.exports.get(name, (-1, 0))
        if kind != GLOBAL_KIND:
            return None
        index -= sum(one.kind == GLOBAL_KIND for one in self.imports)
        section = self._section(GLOBAL)
        for at in range(section.unsigned()):
            section.take(2)
            if section.byte() not in (_I32_CONST, _I64_CONST):
                return None
            value = section.signed()
            if section.byte() != _END:
                return None
            if at == index:
                return value
        return None

    def constants_of(self, name: str) -> list[int] | None:
        """The i32 constants that an exported function without branches mentions, in order; None if it is not
        of that kind."""
        kind, index = self.exports.get(name, (-1, 0))
        if kind != FUNCTION:
            return None
        body = self._body(index)
        for _ in range(body.unsigned()):  # locals
            body.unsigned()
            body.byte()
        found = []
        while body.at < len(body.data):
            code = body.byte()
            if code == _I32_CONST:
                found.append(body.signed())
            elif code == _I64_CONST:
                body.signed()
            elif code in (_CALL, _LOCAL_GET, _LOCAL_SET):
                body.unsigned()
            elif code != _END:
                return None
        return found

    def _body(self, index: int) -> Reader:
        index -= sum(one.kind == FUNCTION for one in self.imports)
        section = self._section(CODE)
        if not 0 <= index < section.unsigned():
            raise Malformed("a function without code")
        for _ in range(index):
            section.take(section.unsigned())
        return Reader(section.take(section.unsigned()))

    def text_at(self, address: int) -> str | None:
        """The text in the data at an address, up to its zero byte; None if there is none."""
        section = self._section(DATA)
        for _ in range(section.unsigned()):
            if section.unsigned() != 0 or section.byte() != _I32_CONST:
                return None
            begin = section.signed()
            section.byte()
            bytes_ = section.take(section.unsigned())
            if begin <= address < begin + len(bytes_):
                end = bytes_.find(b"\0", address - begin)
                return bytes_[address - begin : end].decode(errors="replace") if end >= 0 else None
        return None
