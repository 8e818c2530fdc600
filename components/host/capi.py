"""The wasmtime C API as this package needs it: prototypes, the process's memory by address, size checks.

Belongs here: everything that would break when wasmtime's C structs change (hence the exact pin). Never:
policy. wasmtime-py's own prototypes stay as they are; these are fresh function objects that take plain
addresses, which is three times cheaper than ``byref`` on ``argtypes``; those that each call needs take
``Word``s, which is three times cheaper again.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_bool, c_char_p, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from functools import lru_cache
from importlib.metadata import version
from struct import Struct
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

VAL_BYTES = 32
"""size of wasmtime_component_val_t: kind u8 at 0, 24 payload bytes at 8"""
ENTRY_BYTES = 48
"""size of wasmtime_component_valrecord_entry_t: name (size, pointer), then the value"""

WASMTIME = version("wasmtime")

if ctypes.sizeof(ffi.wasmtime_component_val_t) != VAL_BYTES:
    raise ImportError(
        f"wasmtime {WASMTIME}: component values are not {VAL_BYTES} bytes; twinloop needs wasmtime 50"
    )
if ctypes.sizeof(ffi.wasmtime_component_valrecord_entry_t) != ENTRY_BYTES:
    raise ImportError(
        f"wasmtime {WASMTIME}: record entries are not {ENTRY_BYTES} bytes; twinloop needs wasmtime 50"
    )
if sys.byteorder != "little" or ctypes.sizeof(c_void_p) != 8:
    raise ImportError("twinloop's component host needs a 64-bit little-endian machine")

MEMORY = memoryview((ctypes.c_char * (1 << 56)).from_address(0)).cast("B")
"""this process by address: ``unpack_from(MEMORY, address)`` costs a fifth of ``ctypes.string_at``"""

Q, QQ, QQQ = Struct("<Q"), Struct("<QQ"), Struct("<QQQ")


_KEEPING_GIL = ctypes.PyDLL(None, handle=ffi.dll._handle)
"""the same library without giving the interpreter lock away at each call: half the price; a guest's fuel
bounds how long it is kept"""


def prototype(name: str, restype: Any, *argtypes: Any) -> Any:
    """A fresh function object for a C function of libwasmtime, leaving wasmtime-py's own prototype alone."""
    function = _KEEPING_GIL[name]
    function.restype, function.argtypes = restype, argtypes
    return function


class _InC:
    """What a Word's ``c`` is until it is asked for: the compiled part never asks, and a fleet has many."""

    def __get__(self, word: Any, owner: Any = None) -> Any:
        made = word.__dict__["c"] = c_uint64.from_param(word)  # which is found before this from here on
        return made


class Word(int):
    """An address or a number of 64 bits, which the compiled part takes as it is. ``c``: as ctypes hands it to
    C: made once, where an int is converted anew at each call."""

    c: Any = _InC()


def word(number: int) -> Word:
    """``number``, 0 to 2^64 - 1 (an address, too); its ``c`` is for a function of ``quick``."""
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} isn't of 64 bits")
    return Word(number)


amount = lru_cache(1024)(word)
"""``word`` of what comes again: counts"""
fuel_as_c = lru_cache(1024)(c_uint64.from_param)
"""fuel as ctypes hands it to C: limits come again"""


def quick(name: str, restype: Any) -> Any:
    """As ``prototype``, for arguments that are the ``c`` of a Word, all of them: nothing checks that, and C
    would get half of an int."""
    function = _KEEPING_GIL[name]
    function.restype = restype
    return function


_p = c_void_p
val_delete = prototype("wasmtime_component_val_delete", None, _p)
val_clone = prototype("wasmtime_component_val_clone", None, _p, _p)
func_call = prototype("wasmtime_component_func_call", _p, _p, _p, _p, c_size_t, _p, c_size_t)
func_call_async = prototype("wasmtime_component_func_call_async", _p, _p, _p, _p, c_size_t, _p, c_size_t, _p)
instantiate = prototype("wasmtime_component_linker_instantiate", _p, _p, _p, _p, _p)
instantiate_async = prototype("wasmtime_component_linker_instantiate_async", _p, _p, _p, _p, _p, _p)
get_function = prototype("wasmtime_component_instance_get_func", c_bool, _p, _p, _p, _p)
fuel_yield = prototype("wasmtime_context_fuel_async_yield_interval", _p, _p, c_uint64)
future_poll = prototype("wasmtime_call_future_poll", c_bool, _p)
future_delete = prototype("wasmtime_call_future_delete", None, _p)
error_new = prototype("wasmtime_error_new", _p, c_char_p)
quick_delete = quick("wasmtime_component_val_delete", None)
quick_call = quick("wasmtime_component_func_call", _p)
quick_call_async = quick("wasmtime_component_func_call_async", _p)
quick_get_fuel = quick("wasmtime_context_get_fuel", _p)
quick_set_fuel = quick("wasmtime_context_set_fuel", _p)
trap_code = prototype("wasmtime_trap_code", c_bool, _p, _p)
define = prototype(
    "wasmtime_linker_define_func_unchecked", _p, _p, c_char_p, c_size_t, c_char_p, c_size_t, _p, _p, _p, _p
)
define_async = prototype(
    "wasmtime_linker_define_async_func", _p, _p, c_char_p, c_size_t, c_char_p, c_size_t, _p, _p, _p, _p
)
stack_creator = prototype("wasmtime_config_host_stack_creator_set", None, _p, _p)
get_fuel = prototype("wasmtime_context_get_fuel", _p, _p, _p)
set_fuel = prototype("wasmtime_context_set_fuel", _p, _p, c_uint64)
resource_host_new = prototype("wasmtime_component_resource_host_new", _p, c_bool, c_uint32, c_uint32)
resource_host_rep = prototype("wasmtime_component_resource_host_rep", c_uint32, _p)
resource_host_delete = prototype("wasmtime_component_resource_host_delete", None, _p)
resource_host_to_any = prototype("wasmtime_component_resource_host_to_any", _p, _p, _p, _p)
resource_any_to_host = prototype("wasmtime_component_resource_any_to_host", _p, _p, _p, _p)
resource_any_delete = prototype("wasmtime_component_resource_any_delete", None, _p)
add_resource = prototype(
    "wasmtime_component_linker_instance_add_resource", _p, _p, c_char_p, c_size_t, _p, _p, _p, _p
)
add_func = prototype("wasmtime_component_linker_instance_add_func", _p, _p, c_char_p, c_size_t, _p, _p, _p)
add_func_async = prototype(
    "wasmtime_component_linker_instance_add_func_async", _p, _p, c_char_p, c_size_t, _p, _p, _p
)

SYNC_IMPORT = ctypes.CFUNCTYPE(_p, *[_p] * 7)
"""(env, context, type, args, nargs, results, nresults) -> error or null"""
ASYNC_IMPORT = ctypes.CFUNCTYPE(None, *[_p] * 9)
"""as SYNC_IMPORT, then (error slot, continuation slot)"""
DROPPED = ctypes.CFUNCTYPE(_p, _p, _p, c_uint32)
"""(env, context, number) -> error or null: a guest has dropped a host resource"""
IS_SET: int = ctypes.cast(ctypes.CDLL(None).strlen, c_void_p).value or 0
"""a continuation, (env) -> bool, for a flag of two bytes: libc's strlen of b"\\0\\0" is 0, of b"\\1\\0" is 1;
no Python is run to ask"""


def address(pointer: Any) -> int:
    """The address that a ctypes pointer of wasmtime-py holds. A cast would tie the pointer to itself: garbage
    for each instance."""
    return c_void_p.from_buffer(pointer).value or 0


def function_address(name: str) -> int:
    """Where a C function of libwasmtime lies."""
    return ctypes.cast(_KEEPING_GIL[name], c_void_p).value or 0


def error_at(at: int) -> wasmtime.WasmtimeError:
    """Take ownership of the wasmtime_error_t at that address."""
    return wasmtime.WasmtimeError._from_ptr(ctypes.cast(at, ctypes.POINTER(ffi.wasmtime_error_t)))


def trap_code_of(error: wasmtime.WasmtimeError) -> int | None:
    """The trap code, or None for an error that is no trap (wasm_trap_t and wasmtime_error_t are one
    struct)."""
    code = (c_uint8 * 1)()
    return code[0] if trap_code(address(error.ptr()), ctypes.addressof(code)) else None
