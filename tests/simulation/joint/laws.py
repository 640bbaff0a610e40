"""What must hold at every moment of a simulated platform, whatever befalls it."""

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import trio
import trio._core._run as trio_run

from paasd.model import Instance
from paasd.state.log.entries import decode_entry
from paasd.state.records import table_of
from paasd.supervisor.leasing import lease_of
from tests.simulation.joint.daemon import Daemon
from tests.simulation.joint.fabric import STORY
from tests.simulation.joint.machine import Container
from tests.simulation.joint.platform import Platform

TESTIMONY_S = 20.0
"""How old the word of a witness may be when a declaration is written: it waits, is sent again, and waits."""


EPOCH = list(table_of(Instance).columns).index("epoch")


class BrokenLaw(AssertionError):
    """The message names the seed, the time and the last events."""


class Laws(trio.abc.Instrument):
    """Checked when a container starts or ends, when an entry of the log is accepted, and whenever all tasks of all
    daemons wait: between two moments of virtual time nothing is left unlooked at.
    """

    def __init__(self, platform: Platform, seed: int) -> None:
        self.platform = platform
        self.seed = seed
        self.broken: BrokenLaw | None = None
        self.stop: Callable[[], None] = lambda: None
        self.deaths = 0
        self.checked = 0
        self.leased = 0
        self.instances: dict[str, int] = {}
        """Epochs by instance, as the log says: the truth, whoever has heard of it."""
        self._testified: list[tuple[float, str, tuple[str, ...]]] = []
        self._seen: dict[Daemon, tuple[int, int]] = {}
        for machine in platform.machines.values():
            machine.on_change = self.container_changed
        platform.etcd.on_put = self.entry_accepted

    def run(self, check: Callable[[], None]) -> None:
        if self.broken is not None:
            return
        self.checked += 1
        try:
            check()
        except AssertionError as error:
            story = "\n".join(self.platform.fabric.story[-STORY:])
            self.broken = BrokenLaw(f"seed {self.seed}, {trio.current_time():.3f} s: {error}\n{story}")
            self.stop()

    # At most one leased holder.

    def container_changed(self, container: Container) -> None:
        identity = container.identity
        what = "runs" if container.running else "ended"
        name = "?" if identity is None else f"{identity.process_guid}/{identity.index} epoch {identity.epoch}"
        self.platform.fabric.note(f"{container.guid} {what}: {name}")
        self.run(self.check_leased)

    def check_leased(self) -> None:
        holders: dict[str, list[str]] = {}
        for guid, machine in self.platform.machines.items():
            for container in machine.containers.values():
                identity = container.identity
                if container.running and identity is not None and identity.app_guid in self.platform.shape.singles:
                    assert container.deadline is not None, f"{container.guid} of a singleton runs without a deadline"
                    if not machine.paused:
                        self.leased += 1
                        holders.setdefault(lease_of(identity).slot, []).append(f"{guid} epoch {identity.epoch}")
        for slot, found in holders.items():
            assert len(found) == 1, f"{slot} runs more than once: {found}"

    # Nothing acts on a lone suspicion.

    def entry_accepted(self, _key: bytes, value: bytes) -> None:
        entry = decode_entry(value)
        self.platform.fabric.note(f"entry {entry.index} of {entry.origin}: {[one.name for one in entry.operations]}")
        declared = any(one.name == "node.declare_dead" for one in entry.operations)
        for change in apsw.Changeset.iter(entry.payload) if entry.kind == "data" else ():
            old, new = change.old or (), change.new or ()
            if change.name == "instances":
                self._place(change.op, old, new)
            elif declared and change.name == "nodes" and change.op == "UPDATE" and "DEAD" in new:
                guid = str(old[0])
                self.run(lambda guid=guid: self.check_death(guid))  # type: ignore[misc]

    def _place(self, op: str, old: Sequence[Any], new: Sequence[Any]) -> None:
        guid = str((old or new)[0])
        if op == "DELETE":
            del self.instances[guid]
        elif isinstance(new[EPOCH], int):
            self.instances[guid] = new[EPOCH]

    def placed(self, container: Container) -> bool:
        """Whether a row wants it, in its epoch."""
        identity = container.identity
        return identity is not None and self.instances.get(identity.instance_guid) == identity.epoch

    def check_death(self, guid: str) -> None:
        self.deaths += 1
        self._collect()
        since = trio.current_time() - TESTIMONY_S
        witnesses = {who for at, who, lost in self._testified if at >= since and guid in lost and who != guid}
        zones = self.platform.zones
        assert len(witnesses) >= 2, f"{guid} was declared dead on the word of {sorted(witnesses)}"
        live = {daemon.guid for daemon in self.platform.open_daemons()} - {guid}
        if any(zones[one] != zones[guid] for one in live):
            elsewhere = {one for one in witnesses if zones[one] != zones[guid]}
            assert elsewhere, f"{guid} was declared dead by {sorted(witnesses)}, all in its own zone"

    def _collect(self) -> None:
        for daemon in self.platform.daemons.values():
            self._testified += [(at, daemon.guid, lost) for at, lost in daemon.testified.items() if lost]
            daemon.testified.clear()
        self._testified = [one for one in self._testified if one[0] > trio.current_time() - TESTIMONY_S]

    def daemon_ends(self, daemon: Daemon) -> None:
        """What it said counts on."""
        self._testified += [(at, daemon.guid, lost) for at, lost in daemon.testified.items() if lost]
        self._seen.pop(daemon, None)

    # Routers go by the newest that they know.

    def before_io_wait(self, timeout: float) -> None:
        if not trio_run.GLOBAL_RUN_CONTEXT.runner.runq:
            for daemon in self.platform.daemons.values():
                if daemon.ready.is_set():
                    now = daemon.envoy.published, daemon.database.index
                    if self._seen.get(daemon) != now:
                        self._seen[daemon] = now
                        self.run(lambda daemon=daemon: self.check_routes(daemon))  # type: ignore[misc]

    def check_routes(self, daemon: Daemon) -> None:
        placed = daemon.placed()
        for host, entries in daemon.envoy.hosts.items():
            for endpoint in (one for entry in entries for one in entry.endpoints):
                guid = endpoint.instance_guid
                if endpoint.target:
                    epoch, node = int(endpoint.target.rpartition(".")[2]), endpoint.node_guid
                else:
                    fact = daemon.observed.get(guid)
                    assert fact is not None, f"{daemon.guid} sends requests for {host} to {guid}, which is gone"
                    epoch, node = fact.epoch, daemon.guid
                assert placed.get(guid) == (epoch, node), (
                    f"{daemon.guid} sends requests for {host} to epoch {epoch} of {guid} at {node},"
                    f" and its rows say {placed.get(guid)}"
                )
