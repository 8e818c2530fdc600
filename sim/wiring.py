"""How a world is put together: gateways, pairs, and who reads which device.

Belongs here: wiring, once, before a run. Never: running (world.py), or a part itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from twinloop.components.contract.contract import Settings
from twinloop.components.host.host import Host
from twinloop.sim.accounts.schedule import SampleSchedule
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.messages import Command
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.listener import LISTEN_CPU_NS, LISTEN_DEADLINE_NS
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.reader import PointTable, derived_configs, point_configs, points_of, table_key
from twinloop.sim.gateway.readers import Readers, patience, rhythm
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import TROUBLE
from twinloop.sim.model.spec import ComponentSpec, DeviceSpec, GatewaySpec, StandbySpec
from twinloop.sim.plant import Plant
from twinloop.sim.redundancy.pair import Pair
from twinloop.sim.truth.elsewhere import AttachedWorld, ElsewhereWitness
from twinloop.sim.upgrade.upgrades import Upgrades


class Wiring:
    """Of one world, onto its ``plant``, whose ``gateways`` it fills."""

    def __init__(
        self, plant: Plant, host: Host, books: Books, cloud: Cloud, outside: AttachedWorld | None
    ) -> None:
        self._plant = plant
        self._host = host
        self._books = books
        self._cloud = cloud
        self._outside = outside
        self._readers = Readers(plant.field, plant.epoch_ns)
        self._tables: dict[tuple[str, str], PointTable] = {}
        self._options: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = {}
        """what drivers are given beside points: devices of a fleet share it"""
        self.gateway_of_name: dict[str, Gateway] = {}
        self.pairs: list[Pair] = []
        self.plans: list[SampleSchedule] = []
        self._pair_of: dict[str, Pair] = {}
        """gateway -> the pair of which it is one"""

    def wire(
        self, store_path: Callable[[str], Path], on_command: Callable[[Command, str | None], None]
    ) -> None:
        """Make all of it. ``store_path``: where a gateway's store lies; ``on_command`` is told of each
        command that has ended."""
        plant, spec = self._plant, self._plant.spec
        components = {component.name: component for component in spec.components}
        for index, mine in enumerate(spec.gateways):
            gateway = self._wire_gateway(index, mine, components, store_path(mine.name))
            gateway.pipeline.on_command = on_command
        for mine in spec.gateways:
            if mine.standby is not None:
                self._wire_pair(mine.name, mine.standby)
        for i, device in enumerate(spec.devices):
            plan = SampleSchedule(
                env=plant.env,
                ledger=self._books.ledger,
                trace=plant.trace,
                index=i,
                spec=device,
                duration_ns=spec.duration_ns,
            )
            plan.source, plan.news = plant.field.source(i, device), plant.field.news(i, device)
            if plan.news is not None:
                self._books.ledger.asked[i] = 0
            self.plans.append(plan)
            pair = self._pair_of.get(device.gateway)
            for name in (device.gateway,) if pair is None else pair.names:
                self._declare(i, components[self.gateway_of_name[name].spec.transform], plan)
                plan.pollers.append(
                    self._wire_device(self.gateway_of_name[name], i, device, components[device.driver])
                )
        for gateway in plant.gateways:
            cuts = plant.streams.stream(f"upgrade/{gateway.name}/cuts")
            gateway.upgrades = Upgrades(
                gateway,
                gateway.spec.upgrade,
                spec.trusted,
                [slot.spec for slot in gateway.rack.slots],
                cuts,
            )

    def _declare(self, device: int, transform: ComponentSpec, plan: SampleSchedule) -> None:
        """What may be derived for a device."""
        account = self._books.derived
        if transform.derives:
            instants = account.instants_of.get(device) or _instants(plan)
            account.declare(device, {one.name: one.unit for one in transform.derives}, instants)

    def _wire_pair(self, name: str, spec: StandbySpec) -> None:
        mine = [i for i, device in enumerate(self._plant.spec.devices) if device.gateway == spec.of]
        pair = Pair(
            env=self._plant.env,
            index=len(self.pairs),
            trace=self._plant.trace,
            cloud=self._cloud,
            spec=spec,
            first=self.gateway_of_name[spec.of],
            second=self.gateway_of_name[name],
            link=self._plant.links[spec.link],
            happened=self._plant.happened,
            duplicates=lambda: sum(self._books.ledger.duplicates_of.get(i, 0) for i in mine),
        )
        self.pairs.append(pair)
        self._pair_of.update(dict.fromkeys(pair.names, pair))
        self._plant.env.call_at(0, pair.begin, priority=TROUBLE)

    def _wire_gateway(
        self, index: int, spec: GatewaySpec, components: dict[str, ComponentSpec], store_path: Path
    ) -> Gateway:
        named = spec.name if spec.standby is None else spec.standby.of
        mine = [device for device in self._plant.spec.devices if device.gateway == named]
        used = dict.fromkeys([spec.transform, spec.policy, *(device.driver for device in mine)])
        metered = any(components[name].cpu_ns is not None for name in used)
        gateway = Gateway(
            env=self._plant.env,
            trace=self._plant.trace,
            index=index,
            spec=spec,
            host=self._host,
            books=self._books,
            cloud=self._cloud,
            link=self._plant.links[spec.uplink.link],
            streams=self._plant.streams,
            metered=metered,
            store_path=store_path,
            epoch_ns=self._plant.epoch_ns,
            derives=bool(components[spec.transform].derives),
        )
        self._plant.gateways.append(gateway)
        self.gateway_of_name[spec.name] = gateway
        gateway.machine.on_event = self._plant.happened
        points, gateway.point_ids = points_of(mine)
        gateway.derived = derived_configs(components[spec.transform].derives, len(points))
        points += gateway.derived
        shortest_ns = min((device.poll_ns for device in mine), default=1_000_000_000)
        gateway.rack.transform = self._slot(
            gateway, components[spec.transform], "transform", Settings("", points, []), shortest_ns
        )
        gateway.rack.policy = self._slot(
            gateway, components[spec.policy], "policy", Settings("", points, []), shortest_ns
        )
        return gateway

    def _slot(
        self,
        gateway: Gateway,
        spec: ComponentSpec,
        name: str,
        settings: Settings,
        deadline_ns: int,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> Slot:
        options = dict(spec.options)
        for key, value in extra:
            options.setdefault(key, value)
        given = list(options.items())
        settings = settings._replace(options=self._options.setdefault(tuple(given), given))
        linked = self._host.link(spec.component, spec.grants)
        meter = gateway.machine.budget.meter(spec.name, spec.component.sha256)
        slot = Slot(
            machine=gateway.machine,
            name=f"{gateway.name}/{name}",
            spec=spec,
            linked=linked,
            settings=settings,
            meter=meter,
            deadline_ns=spec.deadline_ns or deadline_ns,
            streams=self._plant.streams,
        )
        gateway.rack.slots.append(slot)
        return slot

    def _wire_device(self, gateway: Gateway, index: int, spec: DeviceSpec, driver: ComponentSpec) -> Poller:
        table = self._table(gateway, spec)
        points = table.points
        listens = spec.listened_to
        deadline_ns = LISTEN_DEADLINE_NS if listens else spec.poll_ns
        if listens and driver.cpu_ns is None:
            driver = replace(driver, cpu_ns=LISTEN_CPU_NS)
        options = self._plant.field.options(gateway.name, spec, driver.deadline_ns)
        if driver.component.options is not None and not any(
            option.name == "wait" for option in driver.component.options
        ):
            options = tuple(pair for pair in options if pair[0] != "wait")  # it says what it takes
        if not listens:
            options += patience(driver, driver.deadline_ns or deadline_ns, spec.exchanges)
            options += rhythm(driver, spec.poll_ns)
        slot = self._slot(
            gateway, driver, f"driver/{spec.name}", Settings(spec.name, points, []), deadline_ns, options
        )
        poller = self._readers.make(gateway, index, spec, slot, table)
        serving = (
            self._outside.serving(spec.name) if self._outside is not None and spec.place is not None else None
        )
        if serving is not None:
            poller.witness = ElsewhereWitness(
                poller.witness, serving, self._plant.env, index, self._plant.field.servers[index].device
            )
        gateway.add_poller(poller)
        if self._plant.spec.offers:
            poller.remember()
        return poller

    def _table(self, gateway: Gateway, spec: DeviceSpec) -> PointTable:
        """What devices of one model share on a gateway."""
        key = gateway.name, table_key(spec)
        if key not in self._tables:
            first = gateway.point_ids[key[1]]
            self._tables[key] = PointTable(
                point_configs(spec.table, first, spec.protocol),
                gateway.derived,
                frozenset(first + i for i, point in enumerate(spec.table.points) if point.exact),
            )
        return self._tables[key]


def _instants(plan: SampleSchedule) -> Callable[[], int]:
    """How many instants there were so far at which something of a device was due."""
    news = plan.news
    if news is None:
        return plan.samples
    found = 0

    def counted(now_ns: int) -> int:
        nonlocal found
        mask = news(now_ns)
        found += bool(mask)
        return mask

    plan.news = counted
    return lambda: found
