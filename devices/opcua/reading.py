"""The short way of a Read: a request like those that came before is recognized by its bytes, and what points
show goes out as bytes.

Belongs here: which requests may take it, and their answer. Never: what a Read means: that is asyncua's, and
whatever is unusual in any way goes asyncua's way, from its first byte. Where the short way is taken nothing
differs but the time that it takes; property tests hold both against each other. Relied on privately (asyncua
2.1.0, pinned): ``binary_server_asyncio``'s import of UaProcessor by name, ``UaProcessor._connection``,
``_transport`` and ``_process_message``, ``SecureConnection``'s sequence numbers, limits and parts,
``InternalSession._last_activity``, ``CallbackService._listeners``, ``AddressSpace._nodes``.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any

from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.common.utils import Buffer
from asyncua.crypto.permission_rules import SimpleRoleRuleset
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server import binary_server_asyncio
from asyncua.server.address_space import AttributeService
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from twinloop.devices.opcua.items import BOTH, NEITHER, SERVER, SOURCE, with_times
from twinloop.devices.opcua.shown import Shown, Unpackable

PARAMETERS_MAX, REMEMBERED_MAX = 2048, 128
"""bytes of a Read's parameters that may be remembered (a ReadValueId has 16 at least, so they are fewer nodes
than limits.py lets anybody read at once); how many are: of all servers of a process, as devices of one model
are asked the same"""
_READ_REQUEST: Any = ua.NodeId(getattr(ua, "ObjectIds").ReadRequest_Encoding_DefaultBinary)  # noqa: B009  # asyncua exports it without saying so
_FIRST = Struct("<III4sB")
"""behind a chunk's header: token, sequence number, request id (OPC 10000-6 section 6.7.2); then the NodeId of
the request's type, and how the NodeId begins that is the session's token"""
_TYPE = ua.ua_binary.nodeid_to_binary(_READ_REQUEST)
_TOKEN_AT = _FIRST.size - 1
_TOKEN_BYTES = {0: 2, 1: 4, 2: 7}
"""of the NodeIds that are numbers (OPC 10000-6 section 5.2.2.9)"""
_HEADER = Struct("<qIIiI3s")
"""the rest of a RequestHeader: time, handle, diagnostics, AuditEntryId's length, timeout, AdditionalHeader"""
_NO_AUDIT, _NO_MORE = -1, b"\0\0\0"
_EMPTY = struct_to_binary(ua.ReadResponse(ResponseHeader=ua.ResponseHeader(ua.get_win_epoch())))
"""an answer without results: the NodeId of its type, time and handle, the rest of its header, the number of
results, and of diagnostics"""
_ANSWER = Struct("<4sqI")
_RESULTS = Struct("<i")
_ANSWER_TYPE, _ANSWER_HEADER, _NO_DIAGNOSTICS = _EMPTY[:4], _EMPTY[_ANSWER.size : -8], _EMPTY[-4:]
_CHUNK = Struct("<4sIIIII")
"""type, size, channel, token, sequence number, request id"""
_SEQUENCE_END = 1 << 32


class _Plain:
    """Parameters of a Read: timestamps that are wanted, and (node, attribute) of each value."""

    __slots__ = ("nodes", "wanted")

    def __init__(self, wanted: int, nodes: tuple[tuple[Any, Any], ...]) -> None:
        self.wanted, self.nodes = wanted, nodes


@lru_cache(maxsize=REMEMBERED_MAX)
def plain(parameters: bytes) -> _Plain | None:
    """What a Read's parameters ask for, decoded by asyncua; None: nothing for the short way. The same object
    for the same bytes: nobody changes it.

    Raises whatever asyncua raises.
    """
    found: Any = struct_from_binary(ua.ReadParameters, Buffer(parameters))
    wanted = int(found.TimestampsToReturn)
    if wanted not in (SOURCE, SERVER, BOTH, NEITHER) or any(one.IndexRange for one in found.NodesToRead):
        return None
    return _Plain(wanted, tuple((one.NodeId, one.AttributeId) for one in found.NodesToRead))


def _written(value: Any) -> bytes:
    """By asyncua; raises Unpackable, whatever it is that can't be written."""
    try:
        return struct_to_binary(value)
    except Exception as failure:
        raise Unpackable(repr(value)[:200]) from failure


class Served(AttributeService):
    """An attribute service of which the short way is known to say the same."""


class Processor(UaProcessor):
    """One connection's, with the short way."""

    _trouble: Exception | None = None
    """what a Read has raised on its short way: asyncua tells the client"""

    async def process(self, header: Any, body: Any) -> Any:
        """One chunk."""
        if header.MessageType == b"MSG" and header.ChunkType == b"F" and self._is_ready(header, body):
            at = body.cur_pos
            try:
                if self._read_shortly(header, body.read(header.body_size)):
                    return True
            except Exception as trouble:  # noqa: BLE001  # as in asyncua: it tells the client what that was
                self._trouble = trouble
            body.rewind(at)
        try:
            return await super().process(header, body)  # type: ignore[no-untyped-call]

        finally:
            if self._trouble is not None:
                self._trouble = None

    async def _process_message(self, *request: Any) -> Any:
        if self._trouble is not None:
            raise self._trouble
        return await super()._process_message(*request)  # type: ignore[no-untyped-call]

    def _is_ready(self, header: Any, body: Any) -> bool:
        """May a whole message in one chunk be read here? Not where anything has to be decrypted, gathered or
        refused."""
        connection, session, inner = self._connection, self.session, self.iserver
        policy: Any = connection.security_policy
        listeners: Any = inner.callback_service._listeners
        return (
            bool(session)
            and session.is_activated()  # type: ignore[union-attr]
            and type(policy) is SecurityPolicyNone
            and (policy.permissions is None or type(policy.permissions) is SimpleRoleRuleset)
            and isinstance(inner.attribute_service, Served)
            and CallbackType.PreRead not in listeners
            and CallbackType.PostRead not in listeners
            and not connection._incoming_parts
            and header.ChannelId == connection.security_token.ChannelId
            and header.packet_size <= connection._limits.max_recv_buffer
            and len(body) >= header.body_size
        )

    def _read_shortly(self, header: Any, chunk: bytes) -> bool:
        """Answer a Read; False: it isn't one for the short way, and nothing has happened.

        Raises what looking at a node raises.
        """
        connection, session = self._connection, self.session
        assert session is not None
        if len(chunk) < _FIRST.size:
            return False
        token, number, request, kind, encoding = _FIRST.unpack_from(chunk)
        at = _TOKEN_AT + _TOKEN_BYTES.get(encoding, len(chunk))
        if (
            kind != _TYPE
            or len(chunk) < at + _HEADER.size
            or token != connection.security_token.TokenId
            or connection._peer_sequence_number is None
            or number != connection._peer_sequence_number + 1
            or len(chunk) > at + _HEADER.size + PARAMETERS_MAX
            or not connection._limits.is_msg_size_within_limit(len(chunk))
        ):
            return False
        _, handle, _, audit, _, more = _HEADER.unpack_from(chunk, at)
        if audit != _NO_AUDIT or more != _NO_MORE:
            return False
        permissions: Any = connection.security_policy.permissions
        if permissions is not None and not permissions.check_validity(session.user, _READ_REQUEST, None):
            return False
        try:
            asked = plain(chunk[at + _HEADER.size :])
        except Exception:  # noqa: BLE001  # asyncua trips over it once more, and tells the client
            return False
        if asked is None:
            return False
        session.touch()
        self.session_last_activity = session._last_activity
        self._answer(request, handle, self._results(asked))
        connection._peer_sequence_number = number
        return True

    def _results(self, asked: _Plain) -> list[bytes]:
        """A DataValue for each node, in order. What can't be written down is told when all have been looked
        at, as in asyncua."""
        space: Any = self.iserver.aspace
        nodes, wanted = space._nodes, asked.wanted
        trouble: Exception | None = None
        out = []
        for identity, attribute in asked.nodes:
            node = nodes.get(identity)
            held = None if node is None else node.attributes.get(attribute)
            told = None if held is None else held.value_callback
            try:
                if type(told) is Shown:
                    out.append(told.packed(wanted))
                else:
                    out.append(_written(with_times(space.read_attribute_value(identity, attribute), wanted)))
            except Unpackable as failure:
                trouble = trouble or failure
        if trouble is not None:
            raise trouble
        return out

    def _answer(self, request: int, handle: int, results: list[bytes]) -> None:
        now = ua.datetime_to_win_epoch(ua.ResponseHeader().Timestamp)  # asyncua's clock, whichever it has now
        body = b"".join(
            [_ANSWER.pack(_ANSWER_TYPE, now, handle), _ANSWER_HEADER, _RESULTS.pack(len(results)), *results,
             _NO_DIAGNOSTICS]
        )  # fmt: skip
        connection = self._connection
        size, number = _CHUNK.size + len(body), connection._sequence_number + 1
        if size > connection._limits.max_send_buffer or number >= _SEQUENCE_END:
            self._transport.write(connection.message_to_binary(body, request_id=request))
            return
        connection._sequence_number = number
        token = connection.security_token
        self._transport.write(
            _CHUNK.pack(b"MSGF", size, token.ChannelId, token.TokenId, number, request) + body
        )


def install() -> None:
    """From now on connections of asyncua's servers have it."""
    vars(binary_server_asyncio)["UaProcessor"] = Processor
