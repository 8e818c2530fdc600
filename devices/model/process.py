"""Processes: physics that moves by itself and by what is written to it. A pump that is switched on fills the
tank.

Belongs here: equations of state, stepped with + - * / and sqrt (exactly rounded by IEEE 754: the same bits
everywhere). Never: registers or time: a step is the device's own, of ``dt_s`` seconds. What is measured
carries noise that depends on (key, step) only; state doesn't. Figures are ours, of the order of a small
plant's; equations are named where they are used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import sqrt

from twinloop.devices.model.signal import mixed, noise, sine


class Process(ABC):
    """``outputs``: what a sensor shows now, by name; ``statuses``: StatusCodes of those that aren't Good.
    Made once for a device, stepped in order, never backwards; one that ``jumps`` needs no step but the
    last."""

    jumps = False
    by_chance: tuple[str, ...] = ()
    """outputs that depend on more than inputs and state: on clouds, on when somebody switches something on"""

    def __init__(self, key: int, dt_s: float) -> None:
        self.key, self.dt_s = key, dt_s
        self.outputs: dict[str, float] = {}
        self.statuses: dict[str, int] = {}

    @abstractmethod
    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """Step ``k`` (0: the beginning) with what is written since the last one, by the names of writable
        points."""

    def resume(self, shown: Mapping[str, float], inputs: Mapping[str, float]) -> None:  # noqa: B027  # outputs may tell of no state
        """Begin where outputs showed these values (any of them) with these inputs: what they tell of the
        state is taken, the rest begins as ever."""

    def noise(self, k: int, which: int, deviation: float) -> float:
        """Of sensor ``which`` at step k."""
        return deviation * noise(mixed(self.key, -10 - which), k)


def _within(value: float, low: float, high: float) -> float:
    return low if not value > low else high if value > high else value  # NaN is low


class Tank(Process):
    """An open tank with a pump into it and a valve out of it.

    A dh/dt = q_in - q_out; q_out = k u sqrt(h) (Torricelli). The pump follows its speed with a first-order
    lag. Above HIGH_M the interlock stops the pump, below LOW_M it may run again. Inputs: pump (0 or 1), speed
    %, valve %.
    """

    AREA_M2, HEIGHT_M, HIGH_M, LOW_M = 2.0, 4.0, 3.8, 3.5
    PUMP_M3_H, LAG_S = 20.0, 2.0
    OUTLET = 12.5
    """m3/h for each sqrt(m) of level with the valve open: 25 m3/h from the full tank"""

    def __init__(self, key: int, dt_s: float) -> None:
        super().__init__(key, dt_s)
        self.level_m, self._turning, self._spilt_m3 = 1.5, 0.0, 0.0
        self._interlocked = False

    def resume(self, shown: Mapping[str, float], inputs: Mapping[str, float]) -> None:
        """Level, what was spilt, the pump's speed, the interlock."""
        self.level_m = _within(shown.get("level", self.level_m), 0.0, self.HEIGHT_M)
        self._spilt_m3 = shown.get("spilt", self._spilt_m3)
        self._turning = _within(shown.get("inflow", 0.0) / self.PUMP_M3_H, 0.0, 1.0)
        self._interlocked = bool(shown.get("high", 0.0))

    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """See the class."""
        speed = _within(inputs["speed"], 0.0, 100.0) / 100.0
        opening = _within(inputs["valve"], 0.0, 100.0) / 100.0
        self._interlocked = self.level_m > self.HIGH_M or (self._interlocked and self.level_m > self.LOW_M)
        wanted = speed if inputs["pump"] and not self._interlocked else 0.0
        if k:
            self._turning += (wanted - self._turning) * self.dt_s / self.LAG_S
        inflow, outflow = self.PUMP_M3_H * self._turning, self.OUTLET * opening * sqrt(self.level_m)
        if k:
            level = self.level_m + (inflow - outflow) / 3600.0 * self.dt_s / self.AREA_M2
            self._spilt_m3 += max(0.0, level - self.HEIGHT_M) * self.AREA_M2
            self.level_m = _within(level, 0.0, self.HEIGHT_M)
        self.outputs = {
            "level": self.level_m + self.noise(k, 0, 0.001),
            "inflow": max(0.0, inflow + self.noise(k, 1, 0.02) * (inflow > 0.1)),
            "outflow": max(0.0, outflow + self.noise(k, 2, 0.02) * (outflow > 0.1)),
            "pressure": 0.0981 * self.level_m + self.noise(k, 3, 0.0003),
            "spilt": self._spilt_m3,
            "high": float(self._interlocked),
            "running": float(self._turning > 0.02),
        }


class Motor(Process):
    """An induction motor on a drive, with a fan for a load.

    Speed follows its set value by a ramp; torque = load * (n/nN)^2 + J dw/dt; I^2 = Imag^2 + (torque share of
    IN)^2; the winding is one body: C dT/dt = I^2 R - (T - Tambient)/Rth. Beyond TRIP_C it trips and stays off
    until ``run`` was 0. Inputs: run (0 or 1), setpoint rpm, load %.
    """

    NOMINAL_RPM, RAMP_RPM_S, TORQUE_NM, INERTIA = 1470.0, 150.0, 98.0, 0.35
    CURRENT_A, MAGNETISING_A = 29.0, 11.0
    LOSS_W, RISE_S, RISE_K = 1500.0, 900.0, 75.0
    """losses at the nominal current, time constant of the winding, its rise at that"""
    AMBIENT_C, TRIP_C = 24.0, 140.0

    def __init__(self, key: int, dt_s: float) -> None:
        super().__init__(key, dt_s)
        self._rpm, self._winding_c, self._hours, self._starts = 0.0, self.AMBIENT_C, 0.0, 0
        self._tripped = False

    def resume(self, shown: Mapping[str, float], inputs: Mapping[str, float]) -> None:
        """Speed, winding, counters, the trip."""
        self._rpm, self._winding_c = (
            max(0.0, shown.get("speed", self._rpm)),
            shown.get("winding", self._winding_c),
        )
        self._hours, self._starts = shown.get("hours", self._hours), round(shown.get("starts", self._starts))
        self._tripped = bool(shown.get("tripped", 0.0))

    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """See the class."""
        run = bool(inputs["run"])
        self._tripped = (self._tripped or self._winding_c > self.TRIP_C) and run
        wanted = _within(inputs["setpoint"], 0.0, 1800.0) if run and not self._tripped else 0.0
        before = self._rpm
        if k:
            change = self.RAMP_RPM_S * self.dt_s
            self._rpm += _within(wanted - before, -change, change)
        self._starts += before == 0.0 and self._rpm > 0.0
        share, load = self._rpm / self.NOMINAL_RPM, _within(inputs["load"], 0.0, 150.0) / 100.0
        acceleration = (self._rpm - before) * 0.10471975511965977 / self.dt_s  # rad/s2; 2 pi / 60
        torque = self.TORQUE_NM * load * share * share + self.INERTIA * acceleration
        working = (
            torque
            / self.TORQUE_NM
            * sqrt(self.CURRENT_A * self.CURRENT_A - self.MAGNETISING_A * self.MAGNETISING_A)
        )
        turning = self._rpm > 0.0
        current = sqrt(self.MAGNETISING_A * self.MAGNETISING_A + working * working) if turning else 0.0
        heat = current / self.CURRENT_A
        self._winding_c += (
            (self.RISE_K * heat * heat - (self._winding_c - self.AMBIENT_C))
            * self.dt_s
            / self.RISE_S
            * (k > 0)
        )
        self._hours += self.dt_s / 3600.0 * (turning and k > 0)
        power_kw = torque * self._rpm * 0.10471975511965977 / 1000.0 + self.LOSS_W / 1000.0 * heat * heat
        self.outputs = {
            "speed": max(0.0, self._rpm + self.noise(k, 0, 0.4) * turning),
            "current": max(0.0, current + self.noise(k, 1, 0.05) * turning),
            "torque": torque + self.noise(k, 2, 0.2) * turning,
            "power": max(0.0, power_kw),
            "winding": self._winding_c + self.noise(k, 3, 0.1),
            "hours": self._hours,
            "starts": float(self._starts),
            "tripped": float(self._tripped),
        }


class Heater(Process):
    """A vessel that is heated, with a PI controller of its own.

    C dT/dt = u P - (T - Tambient)/R; u = Kp e + integral of Ki e, held within 0 to 1 with the integral
    stopped at the ends. Inputs: enable (0 or 1), setpoint degC.
    """

    POWER_W, CAPACITY_J_K, RESISTANCE_K_W, AMBIENT_C = 6000.0, 42_000.0, 0.02, 20.0
    KP, KI_S, READY_K = 0.25, 0.002, 0.5

    def __init__(self, key: int, dt_s: float) -> None:
        super().__init__(key, dt_s)
        self.celsius, self._integral, self._energy_wh = self.AMBIENT_C, 0.0, 0.0

    def resume(self, shown: Mapping[str, float], inputs: Mapping[str, float]) -> None:
        """Temperature, energy, the controller's integral: what of its output the error doesn't explain."""
        self.celsius, self._energy_wh = (
            shown.get("temperature", self.celsius),
            shown.get("energy", self._energy_wh),
        )
        error = _within(inputs.get("setpoint", self.celsius), 0.0, 110.0) - self.celsius
        self._integral = _within(shown.get("output", 0.0) / 100.0 - self.KP * error, 0.0, 1.0)

    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """See the class."""
        measured = self.celsius + self.noise(k, 0, 0.03)
        error = _within(inputs["setpoint"], 0.0, 110.0) - measured
        share = 0.0
        if inputs["enable"]:
            wanted = self.KP * error + self._integral
            share = _within(wanted, 0.0, 1.0)
            if k and (share == wanted or (error > 0.0) != (wanted > 0.5)):
                self._integral = _within(self._integral + self.KI_S * error * self.dt_s, 0.0, 1.0)
        else:
            self._integral = 0.0
        if k:
            self.celsius += (
                (share * self.POWER_W - (self.celsius - self.AMBIENT_C) / self.RESISTANCE_K_W)
                * self.dt_s
                / self.CAPACITY_J_K
            )
            self._energy_wh += share * self.POWER_W * self.dt_s / 3600.0
        ready = bool(inputs["enable"]) and -self.READY_K < error < self.READY_K
        self.outputs = {
            "temperature": measured,
            "output": 100.0 * share,
            "energy": self._energy_wh,
            "ready": float(ready),
        }


class PvDay(Process):
    """A PV inverter over the day that begins at START_H o'clock.

    Irradiance: the sine of the time from 6 to 18 o'clock, times a cloud factor that reverts to 0.85; cell
    temperature = ambient + 0.03 K m2/W * G; P = Ppeak G/1000 (1 - 0.4 %/K (T - 25)), at most ``limit`` % of
    the inverter's 10 kW. Input: limit %. States are SunSpec's (model 103, St).
    """

    PEAK_W, LIMIT_W, START_H, AMBIENT_C = 11_000.0, 10_000.0, 10.0, 18.0
    OFF, MPPT, THROTTLED = 1, 4, 5
    by_chance = "a", "w", "wh", "dcv", "tmp-cab", "st", "irradiance"

    def __init__(self, key: int, dt_s: float) -> None:
        super().__init__(key, dt_s)
        self._cloud, self._energy_wh = 0.85, 64_000_000.0

    def resume(self, shown: Mapping[str, float], inputs: Mapping[str, float]) -> None:
        """Energy; the day begins at START_H again."""
        self._energy_wh = shown.get("wh", self._energy_wh)

    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """See the class."""
        day_ms = 86_400_000
        at_ms = round((self.START_H - 6.0) * 3_600_000.0) + k * round(1000.0 * self.dt_s)
        height = max(0.0, sine(at_ms, day_ms))
        if k:
            self._cloud = _within(
                self._cloud + 0.002 * (0.85 - self._cloud) + self.noise(k, 0, 0.012), 0.1, 1.0
            )
        sun_w_m2 = 1000.0 * height * self._cloud
        cell_c = self.AMBIENT_C + 0.03 * sun_w_m2
        possible_w = max(0.0, self.PEAK_W * sun_w_m2 / 1000.0 * (1.0 - 0.004 * (cell_c - 25.0)))
        allowed_w = self.LIMIT_W * _within(inputs["limit"], 0.0, 100.0) / 100.0
        power_w = min(possible_w, allowed_w)
        if k:
            # acc32 begins again
            self._energy_wh = (self._energy_wh + power_w * self.dt_s / 3600.0) % 4_294_967_296.0
        volts = [230.0 + self.noise(k, 1 + i, 0.5) for i in range(3)]
        self.outputs = {
            "a": power_w / 690.0,
            "ph-vph-a": volts[0],
            "ph-vph-b": volts[1],
            "ph-vph-c": volts[2],
            "w": power_w,
            "hz": 50.0 + self.noise(k, 4, 0.01),
            "wh": self._energy_wh,
            "dcv": 0.0 if power_w <= 0.0 else 640.0 + self.noise(k, 5, 1.5),
            "tmp-cab": self.AMBIENT_C + 0.002 * power_w,
            "st": float(
                self.OFF if possible_w <= 20.0 else self.THROTTLED if possible_w > allowed_w else self.MPPT
            ),
            "irradiance": sun_w_m2,
        }


class PowerMeter(Process):
    """An energy meter whose counters count what its power makes: Wh = sum of W dt, import and export apart.

    The load: a base, a daily course, machines that switch; ``feed`` W is what a source behind the meter gives
    (an input: 0 to 20 kW).
    """

    by_chance = "power", "current", "imported", "exported"
    BASE_W, DAY_W, MACHINE_W, MACHINE_STEPS, FACTOR = 1800.0, 900.0, 2600.0, 900, 0.94

    def __init__(self, key: int, dt_s: float) -> None:
        super().__init__(key, dt_s)
        self._imported_wh, self._exported_wh = 1_250_000.0, 18_000.0
        self._shift = mixed(key, -1) % self.MACHINE_STEPS

    def resume(self, shown: Mapping[str, float], inputs: Mapping[str, float]) -> None:
        """Both counters."""
        self._imported_wh, self._exported_wh = (
            shown.get("imported", self._imported_wh),
            shown.get("exported", self._exported_wh),
        )

    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """See the class."""
        course = sine(k * round(1000.0 * self.dt_s), 86_400_000)
        running = (k + self._shift) % self.MACHINE_STEPS < self.MACHINE_STEPS // 3
        load_w = self.BASE_W + self.DAY_W * course + self.MACHINE_W * running + self.noise(k, 0, 25.0)
        power_w = load_w - _within(inputs["feed"], 0.0, 20_000.0)
        if k:
            energy_wh = power_w * self.dt_s / 3600.0
            if energy_wh >= 0.0:
                self._imported_wh = (self._imported_wh + energy_wh) % 4_294_967_296.0  # 32 bits begin again
            else:
                self._exported_wh = (self._exported_wh - energy_wh) % 4_294_967_296.0
        volts = 230.0 + self.noise(k, 1, 0.4)
        self.outputs = {
            "power": power_w,
            "voltage": volts,
            "current": abs(power_w) / (3.0 * volts * self.FACTOR),
            "frequency": 50.0 + self.noise(k, 2, 0.01),
            "imported": self._imported_wh,
            "exported": self._exported_wh,
        }
