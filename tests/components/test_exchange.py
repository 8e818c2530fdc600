"""What exchange.py reads and writes by layout is what codec.py does by type."""

from __future__ import annotations

from ctypes import addressof, c_uint64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plants import WASM
from twinloop.components.host.capi import val_delete
from twinloop.components.host.codec import Signature
from twinloop.components.host.exchange import PREPARED_BYTES, LengthField, Replies, read_transact
from twinloop.components.host.host import Host

framings = st.one_of(
    st.just(("silence", None)),
    st.tuples(st.sampled_from(["exactly", "some"]), st.integers(0, 2**32 - 1)),
    st.tuples(
        st.just("length-field"),
        st.builds(
            LengthField,
            st.integers(0, 255),
            st.integers(0, 255),
            st.booleans(),
            st.integers(-(2**31), 2**31 - 1),
        ),
    ),
)


@pytest.fixture(scope="module")
def transact(host: Host) -> Signature:
    driver = host.load(WASM / "modbus-driver.wasm", "driver")
    return Signature(host.codecs, driver.imports["fieldbus"]["transact"])


@settings(max_examples=200, deadline=None)
@given(request_bytes=st.binary(max_size=300), framing=framings, timeout_ns=st.integers(0, 2**64 - 1))
def test_arguments(transact: Signature, request_bytes: bytes, framing: Any, timeout_ns: int) -> None:
    at = transact.put_arguments((request_bytes, framing, timeout_ns))
    read = read_transact(at)
    assert read == [request_bytes, framing, timeout_ns]
    assert read == transact.get_arguments(at)


@settings(max_examples=200, deadline=None)
@given(
    reply=st.one_of(
        st.tuples(st.just(True), st.binary(max_size=PREPARED_BYTES + 40)),
        st.tuples(st.just(False), st.sampled_from([("timeout", None), ("too-long", 9), ("other", "grün")])),
    )
)
def test_replies(transact: Signature, reply: tuple[bool, Any]) -> None:
    block = (c_uint64 * 4)()
    Replies(transact.put_result).write(reply, addressof(block))
    assert transact.get_result(addressof(block)) == reply
    val_delete(addressof(block))


def test_a_long_reply_leaves_the_prepared_value_as_it_was(transact: Signature) -> None:
    block = (c_uint64 * 4)()
    write = Replies(transact.put_result).write
    for data in (b"\xff" * PREPARED_BYTES, b"\x01\x02", bytes(PREPARED_BYTES + 1), b"\x03"):
        write((True, data), addressof(block))
        assert transact.get_result(addressof(block)).value == data
        val_delete(addressof(block))
