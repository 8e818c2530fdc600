"""Test guests as component text: wasmtime compiles WAT, so faults need no toolchain."""

from __future__ import annotations

from twinloop.components.contract.contract import interface

_TYPES_INSTANCE = """
  (type $types-ty (instance
    (type $rd (record (field "point" u16) (field "value" f64) (field "status" u32) (field "measured" u64)))
    (export "reading" (type $reading (eq $rd)))
    (type $tx (record (field "point" u16) (field "value" string) (field "status" u32) (field "measured" u64)))
    (export "text-reading" (type $text (eq $tx)))
    (type $lr (list $reading)) (type $lt (list $text))
    (type $bt (record (field "readings" $lr) (field "texts" $lt)))
    (export "batch" (type $batch (eq $bt)))
    (type $of (option f64))
    (type $pc (record (field "id" u16) (field "name" string) (field "address" string) (field "unit" string) (field "scale" f64)
      (field "offset" f64) (field "low" $of) (field "high" $of)))
    (export "point-config" (type $point-config (eq $pc)))
    (type $lp (list $point-config)) (type $tu (tuple string string)) (type $lo (list $tu))
    (type $st (record (field "device" string) (field "points" $lp) (field "options" $lo)))
    (export "settings" (type $settings (eq $st)))
    (type $ce (variant (case "unknown-option" string) (case "bad-option" string) (case "bad-address" string)
      (case "too-many-points" u32) (case "other" string)))
    (export "config-error" (type $config-error (eq $ce)))
    (type $be (variant (case "timeout") (case "disconnected") (case "too-long" u32) (case "other" string)))
    (export "bus-error" (type $bus-error (eq $be)))
    (type $de (variant (case "not-configured") (case "bus" $bus-error) (case "rejected" u32) (case "malformed" string)
      (case "no-such-point" u16) (case "other" string)))
    (export "driver-error" (type $driver-error (eq $de)))
    (type $he (enum "ok" "degraded" "failed"))
    (export "health" (type $health (eq $he)))
    (type $ds (record (field "health" $health) (field "polls" u64) (field "errors" u64) (field "detail" string)))
    (export "driver-status" (type $driver-status (eq $ds)))
    (type $or (record (field "device" string) (field "sequence" u64)))
    (export "origin" (type $origin (eq $or)))
    (type $te (variant (case "not-configured") (case "bad-input" string) (case "other" string)))
    (export "transform-error" (type $transform-error (eq $te)))
  ))
  (import "TYPES" (instance $types (type $types-ty)))
  (alias export $types "settings" (type $settings))
  (alias export $types "config-error" (type $config-error))
  (alias export $types "batch" (type $batch))
  (alias export $types "driver-error" (type $driver-error))
  (alias export $types "driver-status" (type $driver-status))
  (alias export $types "bus-error" (type $bus-error))
  (alias export $types "origin" (type $origin))
  (alias export $types "transform-error" (type $transform-error))
""".replace("TYPES", interface("types", "0.1.0"))

CLOCK = f"""
  (import "{interface("clock", "0.1.0")}" (instance $clock
    (export "sleep" (func (param "time" u64))) (export "now" (func (result u64))) (export "monotonic" (func (result u64)))))
  (core func $sleep (canon lower (func $clock "sleep")))
  (core func $monotonic (canon lower (func $clock "monotonic")))
"""

_REALLOC = """\
    (global $top (mut i32) (i32.const 16384))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
      (local.set 4 (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get 4) (local.get 3)))
      (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (then (drop (memory.grow (i32.const 1)))))
      (local.get 4))
"""
"""a bump allocator that grows its memory"""
OK_AT_1024 = "(i32.store8 (i32.const 1024) (i32.const 0)) (i32.const 1024)"


def driver_text(
    read_sensor: str,
    imports: str = "",
    arguments: str = "",
    memory_pages: int = 1,
    configure: str = OK_AT_1024,
    lowered: str = "",
    health: int = 0,
) -> bytes:
    """A driver whose ``read-sensor`` is that core code; it returns a pointer to a result<batch, driver-error>
    at 2048.

    ``EMPTY`` in it stands for an ok batch without readings.
    """
    empty = (
        " ".join(f"(i64.store (i32.const {at}) (i64.const 0))" for at in (2048, 2056, 2064))
        + " (i32.const 2048)"
    )
    body = read_sensor.replace("EMPTY", empty)
    with_memory = 'with "libc" (instance $libc)'
    environment = f'(with "env" (instance{_exports(imports)}))' if imports else ""
    return f"""(component
{_TYPES_INSTANCE}
{imports}
  (core module $mem (memory (export "memory") {memory_pages})
    (global $top (mut i32) (i32.const 32768))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
      (local.set 4 (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get 4) (local.get 3))) (local.get 4)))
  (core instance $libc (instantiate $mem))
{lowered}
  (core module $m
    (import "libc" "memory" (memory {memory_pages}))
{arguments}
{_REALLOC}    (func (export "configure") (param i32 i32 i32 i32 i32 i32) (result i32) {configure})
    (func $recurse (param i32) (result i32) (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (call $recurse (local.get 0))))
    (func (export "read-sensor") (result i32) (local i32) (local i64)
      {body})
    (func (export "write-register") (param i32 f64) (result i32) (i32.store8 (i32.const 1024) (i32.const 0)) (i32.const 1024))
    (func (export "get-status") (result i32) (i64.store (i32.const 3072) (i64.const {health})) (i32.const 3072))
  )
  (core instance $i (instantiate $m ({with_memory}) {environment}))
  (type $configured (result (error $config-error)))
  (type $read (result $batch (error $driver-error)))
  (type $written (result (error $driver-error)))
  (func $configure (param "settings" $settings) (result $configured)
    (canon lift (core func $i "configure") (memory (core memory $libc "memory")) (realloc (core func $i "realloc"))))
  (func $read-sensor (result $read) (canon lift (core func $i "read-sensor") (memory (core memory $libc "memory"))))
  (func $write-register (param "point" u16) (param "value" f64) (result $written)
    (canon lift (core func $i "write-register") (memory (core memory $libc "memory"))))
  (func $get-status (result $driver-status) (canon lift (core func $i "get-status") (memory (core memory $libc "memory"))))
  (instance $driver
    (export "configure" (func $configure)) (export "read-sensor" (func $read-sensor))
    (export "write-register" (func $write-register)) (export "get-status" (func $get-status)))
  (export "{interface("driver", "0.1.0")}" (instance $driver))
)""".encode()


def _exports(imports: str) -> str:
    out = ""
    if "$sleep" in imports:
        out += ' (export "sleep" (func $sleep)) (export "monotonic" (func $monotonic))'
    if "$state" in imports:
        out += ' (export "set" (func $set)) (export "get" (func $get))'
    return out


def looping() -> bytes:
    """Never returns."""
    return driver_text("(loop $for-ever (br $for-ever)) (unreachable)")


def trapping() -> bytes:
    """Hits ``unreachable``."""
    return driver_text("(unreachable)")


def growing() -> bytes:
    """Asks for memory without end and traps when refused."""
    return driver_text(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)"
    )


def out_of_bounds() -> bytes:
    """Reads beyond its memory."""
    return driver_text("(i32.load (i32.const -8))")


def recursing() -> bytes:
    """Exhausts its stack."""
    return driver_text("(call $recurse (i32.const 0))")


def lying() -> bytes:
    """Returns a list that lies outside its memory."""
    return driver_text(
        "(i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (i32.const 0x7ffffff0)) "
        "(i32.store (i32.const 2056) (i32.const 100)) (i64.store (i32.const 2060) (i64.const 0)) (i32.const 2048)"
    )


def empty() -> bytes:
    """Returns a batch without readings."""
    return driver_text("EMPTY")


SLEEP_ARGUMENTS = '    (import "env" "sleep" (func $sleep (param i64))) (import "env" "monotonic" (func $monotonic (result i64)))'


def sleeping(time_ns: int) -> bytes:
    """Sleeps that long, then returns an empty batch."""
    return driver_text(f"(call $sleep (i64.const {time_ns})) EMPTY", CLOCK, SLEEP_ARGUMENTS)


def working(before: int, sleep_ns: int, after: int) -> bytes:
    """Computes, sleeps, computes: two CPU segments around one wait. ``before`` and ``after`` are loop
    turns."""
    spin = "(local.set 0 (i32.const {n})) (loop $l{i} (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l{i} (local.get 0)))"
    return driver_text(
        f"{spin.format(n=before, i=1)} (call $sleep (i64.const {sleep_ns})) {spin.format(n=after, i=2)} EMPTY",
        CLOCK,
        SLEEP_ARGUMENTS,
    )


def clock_watching(turns: int) -> bytes:
    """Computes between two looks at the clock; returns ``rejected(difference in us)``."""
    return driver_text(
        f"(local.set 1 (call $monotonic)) (local.set 0 (i32.const {turns})) "
        "(loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))) "
        "(local.set 1 (i64.sub (call $monotonic) (local.get 1))) "
        "(i32.store (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 2)) "
        "(i32.store (i32.const 2056) (i32.wrap_i64 (i64.div_u (local.get 1) (i64.const 1000)))) (i32.const 2048)",
        CLOCK,
        SLEEP_ARGUMENTS,
    )


STATE = f"""
  (import "{interface("state", "0.1.0")}" (instance $state
    (type $se (variant (case "quota-exceeded" u64) (case "key-too-long" u32) (case "other" string)))
    (export "state-error" (type $state-error (eq $se)))
    (type $r (result (error $state-error))) (type $b (list u8)) (type $o (option $b))
    (export "set" (func (param "key" string) (param "value" $b) (result $r)))
    (export "get" (func (param "key" string) (result $o)))))
"""
STATE_LOWERED = """
  (core func $set (canon lower (func $state "set") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $get (canon lower (func $state "get") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
"""
STATE_ARGUMENTS = """
    (import "env" "set" (func $set (param i32 i32 i32 i32 i32)))
    (import "env" "get" (func $get (param i32 i32 i32)))
"""


def keeping(value_bytes: int) -> bytes:
    """Gets key "k", then sets it to that many bytes; returns ``rejected``: 1000 if there was one, plus 1 if
    set failed, plus 10 * the error's case."""
    return driver_text(
        f"""(i32.store8 (i32.const 512) (i32.const 107))
        (call $get (i32.const 512) (i32.const 1) (i32.const 640))
        (call $set (i32.const 512) (i32.const 1) (i32.const 4096) (i32.const {value_bytes}) (i32.const 704))
        (i32.store (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 2))
        (i32.store (i32.const 2056) (i32.add (i32.mul (i32.load8_u (i32.const 640)) (i32.const 1000))
          (i32.add (i32.load8_u (i32.const 704)) (i32.mul (i32.mul (i32.load8_u (i32.const 704)) (i32.load8_u (i32.const 712))) (i32.const 10)))))
        (i32.const 2048)""",
        STATE,
        STATE_ARGUMENTS,
        lowered=STATE_LOWERED,
    )


def slow_transform(sleep_ns: int) -> bytes:
    """A transform that sleeps, then hands its input back: its call parks."""
    return f"""(component
{_TYPES_INSTANCE}
{CLOCK}
  (core module $mem (memory (export "memory") 1))
  (core instance $libc (instantiate $mem))
  (core module $m
    (import "libc" "memory" (memory 1))
{SLEEP_ARGUMENTS}
{_REALLOC}    (func (export "configure") (param i32 i32 i32 i32 i32 i32) (result i32) {OK_AT_1024})
    (func (export "transform") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
      (call $sleep (i64.const {sleep_ns}))
      (i32.store (i32.const 2048) (i32.const 0))
      (i32.store (i32.const 2052) (local.get 3)) (i32.store (i32.const 2056) (local.get 4))
      (i32.store (i32.const 2060) (local.get 5)) (i32.store (i32.const 2064) (local.get 6))
      (global.set $top (i32.const 16384))
      (i32.const 2048)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "env" (instance{_exports(CLOCK)}))))
  (type $configured (result (error $config-error)))
  (type $transformed (result $batch (error $transform-error)))
  (func $configure (param "settings" $settings) (result $configured)
    (canon lift (core func $i "configure") (memory (core memory $libc "memory")) (realloc (core func $i "realloc"))))
  (func $transform (param "source" $origin) (param "input" $batch) (result $transformed)
    (canon lift (core func $i "transform") (memory (core memory $libc "memory")) (realloc (core func $i "realloc"))))
  (instance $e (export "configure" (func $configure)) (export "transform-readings" (func $transform)))
  (export "{interface("transform", "0.1.0")}" (instance $e))
)""".encode()


def adding_transform(*readings: tuple[int, str, int], samples: int = 1 << 30, keeps: bool = True) -> bytes:
    """A transform that adds (point, value, status) to each of a device's first ``samples``, and hands on what
    came in, if it ``keeps`` it."""
    stores = "\n".join(
        f"""      (i32.store16 (local.get $at) (i32.const {point})) (f64.store offset=8 (local.get $at) (f64.const {value}))
      (i32.store offset=16 (local.get $at) (i32.const {status}))
      (i64.store offset=24 (local.get $at) (i64.load offset=24 (local.get 3)))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))"""
        for point, value, status in readings
    )
    return f"""(component
{_TYPES_INSTANCE}
  (core module $m
    (memory (export "memory") 2)
{_REALLOC}    (func (export "configure") (param i32 i32 i32 i32 i32 i32) (result i32) {OK_AT_1024})
    (func (export "transform") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.const 65536))
      (if (i32.const {int(keeps)}) (then
        (memory.copy (local.get $at) (local.get 3) (i32.mul (local.get 4) (i32.const 32)))
        (local.set $at (i32.add (local.get $at) (i32.mul (local.get 4) (i32.const 32))))))
      (if (i64.lt_u (local.get 2) (i64.const {samples})) (then
{stores}
      ))
      (i32.store (i32.const 2048) (i32.const 0))
      (i32.store (i32.const 2052) (i32.const 65536))
      (i32.store (i32.const 2056) (i32.div_u (i32.sub (local.get $at) (i32.const 65536)) (i32.const 32)))
      (i32.store (i32.const 2060) (i32.const 0)) (i32.store (i32.const 2064) (i32.const 0))
      (global.set $top (i32.const 16384))
      (i32.const 2048)))
  (core instance $i (instantiate $m))
  (type $configured (result (error $config-error)))
  (type $transformed (result $batch (error $transform-error)))
  (func $configure (param "settings" $settings) (result $configured)
    (canon lift (core func $i "configure") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $transform (param "source" $origin) (param "input" $batch) (result $transformed)
    (canon lift (core func $i "transform") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $e (export "configure" (func $configure)) (export "transform-readings" (func $transform)))
  (export "{interface("transform", "0.1.0")}" (instance $e))
)""".encode()
