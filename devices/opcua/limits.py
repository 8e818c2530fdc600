"""What an OPC UA server grants its clients, so that none of them keeps the others waiting.

Belongs here: limits of a server, and how they are put on asyncua's. Never: nodes (device.py).
"""

from __future__ import annotations

from typing import Any

from asyncua.common.utils import ServiceError
from asyncua.server.server import Server

from twinloop.devices.model.statuses import STATUS_CODES

_TOO_MANY_SUBSCRIPTIONS = 0x80770000
OPERATIONS_MAX = {
    "read": (1000, "i=11705"),
    "write": (1000, "i=11707"),
    "browse": (20, "i=11710"),
    "translate": (200, "i=11712"),
}
"""nodes of one request, and where the server says so (OPC 10000-5 section 6.3.11): each takes some tens of
milliseconds at most"""
PUBLISHING_MIN_MS, SESSION_MAX_MS, SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_A_SESSION_MAX = 50.0, 60_000.0, 100, 20
"""what a stranger gets: the shortest publishing interval, the longest time that a session outlives its
connection, subscriptions of one server, and of one of its sessions: else the first client could take them
all"""


def bound_operations(server: Server) -> None:
    """No request may keep the others waiting for long: more than OPERATIONS_MAX is BadTooManyOperations
    (OPC 10000-4 section 7.38)."""
    inner: Any = server.iserver
    places = {
        "read": (inner.attribute_service, "read", "NodesToRead"),
        "browse": (inner.view_service, "browse", "NodesToBrowse"),
        "write": (inner.attribute_service, "write", "NodesToWrite"),
        "translate": (inner.view_service, "translate_browsepaths_to_nodeids", ""),
    }
    for name, (service, method, many) in places.items():
        serve, most = getattr(service, method), OPERATIONS_MAX[name][0]

        def bounded(
            params: Any, *more: Any, serve: Any = serve, most: int = most, many: str = many, **named: Any
        ) -> Any:
            if len(getattr(params, many) if many else params) > most:
                raise ServiceError(STATUS_CODES["BadTooManyOperations"])
            return serve(params, *more, **named)

        setattr(service, method, bounded)


def limit_strangers(server: Server) -> None:
    """Strangers may come: what they ask for is revised (OPC 10000-4 section 5.14.2.2). A server is for a
    few clients, and shares its process."""
    inner = server.iserver
    inner.max_session_timeout_ms, inner.max_subscriptions = SESSION_MAX_MS, SUBSCRIPTIONS_MAX
    service: Any = inner.subscription_service
    create = service.create_subscription

    def revised(params: Any) -> Any:
        wanted = params.RequestedPublishingInterval
        # not a number isn't, either
        params.RequestedPublishingInterval = wanted if wanted >= PUBLISHING_MIN_MS else PUBLISHING_MIN_MS
        return params

    def bounded(params: Any, callback: Any, session: Any, *more: Any, **named: Any) -> Any:
        if (
            sum(one.session_id == session for one in service.subscriptions.values())
            >= SUBSCRIPTIONS_A_SESSION_MAX
        ):
            raise ServiceError(_TOO_MANY_SUBSCRIPTIONS)
        return create(revised(params), callback, session, *more, **named)

    service.create_subscription = bounded
