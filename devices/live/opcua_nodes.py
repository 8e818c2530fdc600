"""Which nodes a real OPC UA server lacks, asked before a run polls it.

Belongs here: one look at a server over SecurityPolicy None, anonymously, as the shipped driver comes. Never:
values.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from asyncua import ua
from asyncua.client.client import Client

_NODE_CLASS = getattr(ua, "AttributeIds").NodeClass  # noqa: B009  # asyncua exports it without saying so
UNKNOWN = 0x80340000, 0x80330000
"""BadNodeIdUnknown, BadNodeIdInvalid"""
TIMEOUT_S = 4.0
AT_ONCE = 16
"""servers that are asked at the same time"""
BLOCK = 100
"""nodes of one Read"""


def missing(servers: dict[str, tuple[str, tuple[str, ...]]]) -> dict[str, list[str]]:
    """name -> addresses that its server (URL, addresses) doesn't have; a server that can't be asked isn't
    judged."""

    async def ask() -> dict[str, list[str]]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(url: str, addresses: tuple[str, ...]) -> list[str]:
            async with gate:
                try:
                    return await asyncio.wait_for(_unknown(url, addresses), TIMEOUT_S)
                except Exception:  # noqa: BLE001  # whatever a stranger's bytes do to the library
                    return []  # the driver will be told, and the run says so

        found = await asyncio.gather(*(one(url, addresses) for url, addresses in servers.values()))
        return {name: lacking for name, lacking in zip(servers, found, strict=True) if lacking}

    return asyncio.run(ask())


async def _unknown(url: str, addresses: tuple[str, ...]) -> list[str]:
    async with Client(url, timeout=TIMEOUT_S / 2) as client:
        uris = [str(uri) for uri in await client.get_namespace_array()]
        lacking: list[str] = []
        known: list[tuple[str, ua.NodeId]] = []
        for address in addresses:
            text = _indexed(address, uris)
            if text is None:
                lacking.append(address)
            else:
                known.append((address, ua.NodeId.from_string(text)))
        for at in range(0, len(known), BLOCK):
            block = known[at : at + BLOCK]
            answers = await client.uaclient.read_attributes([node for _, node in block], _NODE_CLASS)
            for (address, _), answer in zip(block, answers, strict=True):
                if answer.StatusCode is not None and answer.StatusCode.value in UNKNOWN:
                    lacking.append(address)
        return [address for address in addresses if address in lacking]


def _indexed(address: str, uris: list[str]) -> str | None:
    """With the index that this server has for the namespace; None when it has none."""
    if not address.startswith("nsu="):
        return address
    uri, _, rest = address.removeprefix("nsu=").partition(";")
    uri = unquote(uri)
    return f"ns={uris.index(uri)};{rest}" if uri in uris else None
