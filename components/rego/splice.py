"""From a policy of `opa build -t wasm` to a routing-policy component, without any tool.

Belongs here: what must hold for a policy to run in a gateway, each with its own words, and the bytes. Never:
running OPA (compiling.py). The template's second core module is replaced by the policy; template.py makes the
template.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from pathlib import Path

from twinloop.components.rego.core_module import FUNCTION, MEMORY, CoreModule, Malformed, Reader

TEMPLATE = Path(__file__).parent / "template.wasm"
ENTRYPOINT = "twinloop/decision"
BUILD = f"opa build -t wasm -e {ENTRYPOINT} POLICY.rego"
ABI_VERSION = 1
POLICY_PAGES_MAX = 16
"""of 64 KiB, for the policy's own data and stack: the shim's memory begins after them"""
POLICY_BYTES_MAX = 64 << 20
_NEEDED = (
    "opa_malloc",
    "opa_json_parse",
    "opa_json_dump",
    "builtins",
    "entrypoints",
    "opa_heap_ptr_get",
    "opa_heap_ptr_set",
    "opa_eval",
)
_CURES = {
    "sprintf": "use concat and format_int",
    "time.now_ns": "a reading has its time: input.batch.readings[_].measured",
    "http.send": "a policy reaches nothing but its input",
    "net.": "a policy reaches nothing but its input",
    "rand.": "a policy has no randomness",
    "uuid.": "a policy has no randomness",
    "opa.runtime": "options are in data.options",
    "print": "raise an alert instead",
    "trace": "raise an alert instead",
}
"""how a built-in's name begins -> what helps"""
_CORE_MODULE = 1
"""the id of a component's section that holds one"""


class PolicyRefused(ValueError):
    """Bytes that can't become a component; the message says why, and what helps."""


def component_of(data: bytes) -> bytes:
    """A policy (the module, or a bundle that holds it) as a component's bytes; raises PolicyRefused."""
    policy = _from_bundle(data) if data[:2] == b"\x1f\x8b" else data
    if policy[:4] != b"\0asm":
        raise PolicyRefused(f"no WebAssembly: expected what this makes: {BUILD}")
    if policy[4:8] == b"\x0d\0\x01\0":
        raise PolicyRefused("it is a component already, use it as it is")
    try:
        _judge(CoreModule(policy))
    except Malformed as error:
        raise PolicyRefused(f"damaged: {error}") from error
    return _spliced(TEMPLATE.read_bytes(), policy)


def _judge(module: CoreModule) -> None:
    missing = [name for name in _NEEDED if module.exports.get(name, (-1, 0))[0] != FUNCTION]
    if missing:
        raise PolicyRefused(
            f"no policy of OPA: it doesn't export {', '.join(missing)}; build it with {BUILD}"
        )
    version = module.constant("opa_wasm_abi_version")
    if version != ABI_VERSION:
        raise PolicyRefused(
            f"ABI version {'unknown' if version is None else version} of OPA policies, expected "
            f"{ABI_VERSION}: build it with OPA 1.x"
        )
    for one in module.imports:
        if one.kind == MEMORY and one.pages > POLICY_PAGES_MAX:
            raise PolicyRefused(
                f"its own data take {one.pages * 64} KiB, at most {POLICY_PAGES_MAX * 64} are possible"
            )
    builtins, entrypoints = _names(module, "builtins"), _names(module, "entrypoints")
    if builtins:
        raise PolicyRefused(
            f"it calls {', '.join(_with_cure(name) for name in builtins)}: OPA itself has that, a policy in "
            f"WebAssembly hasn't"
        )
    if entrypoints is not None and ENTRYPOINT not in entrypoints:
        known = ", ".join(entrypoints) or "nothing"
        raise PolicyRefused(f"it was built for {known}, not for {ENTRYPOINT}: {BUILD}")


def _with_cure(name: str) -> str:
    cure = next((text for begin, text in _CURES.items() if name.startswith(begin)), "")
    return f"{name} ({cure})" if cure else name


def _names(module: CoreModule, function: str) -> list[str] | None:
    """The keys of the object that ``function`` builds; None if it builds it in a way that isn't known: then
    the shim finds out when it is configured."""
    addresses = module.constants_of(function)
    if addresses is None:
        return None
    found = [module.text_at(address) for address in addresses]
    return [name for name in found if name is not None] if all(found) else None


def _from_bundle(data: bytes) -> bytes:
    """The policy in a bundle (a compressed tar archive)."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as bundle:
            for member in bundle:
                name = member.name.lstrip("./")
                if name in ("policy.wasm", "data.json") and member.size <= POLICY_BYTES_MAX:
                    file = bundle.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, OSError) as error:
        raise PolicyRefused(f"no bundle that can be read: {error}") from error
    if "policy.wasm" not in found:
        raise PolicyRefused(f"a bundle without policy.wasm: {BUILD}")
    try:
        own_data = json.loads(found.get("data.json", b"{}"))
    except ValueError:
        own_data = None
    if own_data != {}:
        raise PolicyRefused("a bundle with data of its own (data.json): write them as rules of the policy")
    return found["policy.wasm"]


def _spliced(template: bytes, policy: bytes) -> bytes:
    """The template with the policy as its second core module."""
    out, modules = [template[:8]], 0
    whole = Reader(template, 8)
    while whole.at < len(template):
        kind = whole.byte()
        body = whole.take(whole.unsigned())
        if kind == _CORE_MODULE:
            modules += 1
            if modules == 2:
                body = policy
        out += [bytes([kind]), _leb128(len(body)), body]
    return b"".join(out)


def _leb128(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))
