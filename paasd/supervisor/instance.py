"""The shell around one lifecycle: it owns the container, its output and its probes, and does what the core says.

Slow things (making a container, probing, draining output) run as tasks of the instance and answer by message, so no
tenant holds up another, nor its own stop.
"""

import signal
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import structlog
import trio

from paasd.errors import PaasdError
from paasd.logs import SpoolTail, Stream
from paasd.model.instances import RecordCrash
from paasd.observed import InstanceFact, InstanceState, Usage
from paasd.sandbox import AnyContainer, Exit, NotRunning
from paasd.supervisor import health
from paasd.supervisor.events import (
    Destroy,
    Destroyed,
    Effect,
    Exited,
    Finish,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Leave,
    Left,
    Message,
    Observe,
    Probe,
    Probed,
    Remember,
    ReportCrash,
    Say,
    SendTerm,
    StopRequested,
)
from paasd.supervisor.journal import Memory
from paasd.supervisor.launch import Identity, identity_of
from paasd.supervisor.lifecycle import Lifecycle, Past
from paasd.supervisor.output import line_maker
from paasd.supervisor.planning import planned
from paasd.supervisor.probing import Checks
from paasd.supervisor.surroundings import Surroundings
from paasd.supervisor.texts import Ending, app_source_type, crash_line
from paasd.supervisor.usage import sample_usage


class InstanceShell:
    """One instance of this node, from its row's appearance until nothing of it is left."""

    def __init__(self, around: Surroundings, identity: Identity, adopted: AnyContainer | None = None) -> None:
        self.identity = identity
        self.finished = False  # nothing is left of it
        self.adopted = trio.Event()  # what is known of an adopted container has been published
        self._around = around
        self._container = adopted
        self._memory = around.journal.read(identity.instance_guid, identity.epoch)
        self._core = Lifecycle(
            around.config,
            Checks(identity.health, identity.readiness),
            app_source_type(identity.process_type),
            around.node_guid,
            identity.instance_guid,
            crash_count=self._memory.crash_count,
            drain_s=None if around.leave is None else around.config.leave_timeout_s,
        )
        self._send, self._receive = trio.open_memory_channel[Message](64)
        self._nursery: trio.Nursery
        self._tail: SpoolTail | None = None
        self._tailed = trio.Event()
        self._lease_end: float | None = None
        self._grace_s: float | None = None
        self.stop_wanted = trio.Event()

    @property
    def container(self) -> AnyContainer | None:
        """Where it runs, if it does."""
        return self._container

    def stop(self, grace_s: float | None = None) -> None:
        """Its row is gone: out of the routes, TERM, KILL after `grace_s`, and nothing left. Returns at once."""
        if not self.stop_wanted.is_set():
            self._grace_s = grace_s
            self.stop_wanted.set()

    async def put_off(self, end: float | None) -> None:
        """Have the shim end it then, in boot time, and not earlier; None lets it run. One that cannot is ended now."""
        self._lease_end = end
        container = self._container
        if container is None or not container.running:
            return
        try:
            await container.set_deadline(end)
        except NotRunning as error:
            if end is not None and container.running:
                structlog.get_logger().warning("a leased instance is started anew", reason=error.detail)
                await container.kill()

    async def run(self) -> None:
        """Returns when the instance is gone. Cancelled, it leaves the container running."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._await_stop)
                await self._live()
                self._nursery.cancel_scope.cancel()
        finally:
            self.adopted.set()

    async def _live(self) -> None:
        now = trio.current_time()
        self._perform(self._begin(now) if self._container is None else self._adopt(self._container, now))
        while not self.finished:
            with trio.move_on_at(self._core.deadline) as timer:
                message = await self._receive.receive()
            now = trio.current_time()
            self._perform(self._core.wake(now) if timer.cancelled_caught else self._core.receive(now, message))

    def _begin(self, now: float) -> list[Effect]:
        memory = self._memory
        if memory.crashed_at is None or memory.healthy_since is not None:
            return self._core.begin(now)
        return self._core.begin(now, max(0.0, self._around.clock() - memory.crashed_at), memory.details)

    def _adopt(self, container: AnyContainer, now: float) -> list[Effect]:
        clock = self._around.clock()
        healthy_since = self._memory.healthy_since
        past = Past(
            started_for_s=max(0.0, clock - self.identity.started_at),
            healthy_for_s=None if healthy_since is None else max(0.0, clock - healthy_since),
        )
        self._watch_container(container)
        effects = self._core.adopt(now, past)
        # One that ended while nobody looked must not be published as running even for a moment.
        return effects if container.running else []

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._do(effect)
        self.adopted.set()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Launch():
                self._nursery.start_soon(self._launch)
            case Probe():
                self._nursery.start_soon(self._probe, effect)
            case Observe(state, routable, details):
                self._observe(state, routable, details)
            case Say("APP", text, stream):
                self._say(app_source_type(self.identity.process_type), text, stream)
            case Say(source_type, text, stream):
                self._say(source_type, text, stream)
            case Leave():
                if self._around.leave is not None:
                    self._nursery.start_soon(self._leave, self._around.leave)
            case SendTerm():
                self._signal(signal.SIGTERM)
            case Kill():
                self._nursery.start_soon(self._kill)
            case Destroy():
                self._nursery.start_soon(self._destroy)
            case ReportCrash():
                self._report_crash(effect)
            case Remember():
                self._remember(effect)
            case Finish():
                self._around.observed.drop(self.identity.instance_guid)
                self._around.journal.forget(self.identity.instance_guid)
                self.finished = True
            case _:
                raise AssertionError(f"unknown effect {effect!r}")

    async def _launch(self) -> None:
        around = self._around
        guid = around.new_guid()
        try:
            plan = await planned(
                partial(around.plan, self.identity.instance_guid),
                self.stop_wanted,
                partial(self._observe, "STARTING", False),
            )
            self._lease_end = await around.right_to_run(self.identity, self.stop_wanted)
            async with around.starts:
                if self.stop_wanted.is_set():
                    raise PaasdError("the instance is not wanted any more")
                self.identity = plan.identity
                spec = plan.container(guid, around.clock())
                container = await around.sandbox.create(spec)
                self._container = container
                self.identity = identity_of(spec.labels) or plan.identity
                bounds = around.cpus, around.config.spool_limit_bytes
                process = plan.process(container.address, *bounds, port=container.port, root=container.root)
                await container.start(msgspec.structs.replace(process, deadline=self._lease_end))
                if self._lease_end is not None:  # it may have been renewed meanwhile
                    await self.put_off(self._lease_end)
        except PaasdError as error:
            await self._abandon(guid)
            await self._send.send(LaunchFailed(error.detail))
            return
        except trio.Cancelled:
            # The daemon goes while this one starts: half an instance is worth nothing to the next daemon.
            with trio.CancelScope(shield=True):
                await self._abandon(guid)
            raise
        self._watch_container(container)
        await self._send.send(Launched())

    async def _abandon(self, guid: str) -> None:
        """What was made before a launch failed is taken down; what resists is left to the next start's sweep."""
        self._container = None
        try:
            await self._around.sandbox.destroy(guid)
        except PaasdError as error:
            structlog.get_logger().error("container not removed", container=guid, error=error.detail)

    def _watch_container(self, container: AnyContainer) -> None:
        self._tail = SpoolTail(
            self._around.logs,
            container.spool,
            container.guid,
            line_maker(self.identity),
            limit_bytes_per_s=self.identity.log_limit_bytes,
        )
        self._tailed = trio.Event()
        self._nursery.start_soon(self._tail_output, self._tail, self._tailed)
        self._nursery.start_soon(self._sample_usage, container, self._tail)
        self._nursery.start_soon(self._await_exit, container)

    async def _tail_output(self, tail: SpoolTail, done: trio.Event) -> None:
        await tail.run()
        done.set()

    async def _await_exit(self, container: AnyContainer) -> None:
        try:
            ending = _ending(await container.wait())
        except NotRunning:
            ending = Ending()
        if container is self._container:  # else it is being destroyed, and its end is no news
            await self._send.send(Exited(ending))

    async def _probe(self, probe: Probe) -> None:
        identity, config = self.identity, self._around.config
        check = identity.readiness if probe.kind == "readiness" else identity.health
        timeout_s = float(check.invocation_timeout_s or config.invocation_timeout_s)
        container = self._container
        if container is None:
            return
        failure = await health.check(check, container.address, container.port, timeout_s)
        if container is self._container:
            await self._send.send(Probed(probe.kind, failure))

    async def _leave(self, leave: Callable[[str, int], Awaitable[None]]) -> None:
        await leave(self.identity.instance_guid, self.identity.epoch)
        await self._send.send(Left())

    async def _kill(self) -> None:
        if self._container is not None:
            await self._container.kill()

    async def _destroy(self) -> None:
        """The last output first: the spool goes with the container."""
        container, tail = self._container, self._tail
        self._container, self._tail = None, None
        if container is not None:
            guid = container.guid
            await self._retry(container.kill)
            if tail is not None:
                tail.finish()
                with trio.move_on_after(self._around.config.output_grace_s) as patience:
                    await self._tailed.wait()
                if patience.cancelled_caught:
                    await tail.abandon()
            await self._retry(partial(self._around.sandbox.destroy, guid))
            await self._around.logs.forget_cursor(guid)
        await self._send.send(Destroyed())

    async def _retry(self, act: Callable[[], Awaitable[None]]) -> None:
        """The kernel may need a moment to let go; what it never lets go of is left to the sweep of the next start."""
        for pause_s in (0.1, 0.5, 2.0):
            try:
                await act()
            except PaasdError as error:
                structlog.get_logger().warning("container not removed yet", error=error.detail)
                await trio.sleep(pause_s)
            else:
                return

    def _signal(self, number: int) -> None:
        if self._container is None:
            return
        try:
            self._container.signal(number)
        except NotRunning:
            return  # its exit is on the way

    async def _await_stop(self) -> None:
        await self.stop_wanted.wait()
        await self._send.send(StopRequested(self._grace_s))

    async def _sample_usage(self, container: AnyContainer, tail: SpoolTail) -> None:
        def put(usage: Usage) -> None:
            self._around.observed.put_usage(self.identity.instance_guid, usage)

        interval_s, clock = self._around.config.usage_interval_s, self._around.clock
        await sample_usage(container, tail, put, lambda: container is self._container, interval_s, clock)

    def _observe(self, state: InstanceState, routable: bool, details: str | None) -> None:
        identity, observed = self.identity, self._around.observed
        known = observed.get(identity.instance_guid)
        since = self._around.clock()
        if known is not None and known.state == state and known.epoch == identity.epoch:
            since = known.since
        elif state == "RUNNING" and self._memory.healthy_since is not None:
            since = self._memory.healthy_since
        container = None if state == "CRASHED" else self._container
        fact = InstanceFact(
            instance_guid=identity.instance_guid,
            epoch=identity.epoch,
            node_guid=self._around.node_guid,
            app_guid=identity.app_guid,
            process_guid=identity.process_guid,
            process_type=identity.process_type,
            index=identity.index,
            state=state,
            since=since,
            address=None if container is None else container.address,
            port=None if container is None else container.port,
            routable=routable,
            details=details,
            usage=known.usage if known is not None and container is not None else None,
        )
        observed.put(fact)

    def _remember(self, fact: Remember) -> None:
        now = self._around.clock()
        self._memory = Memory(
            epoch=self.identity.epoch,
            crash_count=fact.crash_count,
            crashed_at=self._memory.crashed_at if fact.healthy else now,
            healthy_since=now if fact.healthy else None,
            details=fact.details,
        )
        self._around.journal.write(self.identity.instance_guid, self._memory)

    def _report_crash(self, crash: ReportCrash) -> None:
        identity, around = self.identity, self._around
        line = crash_line(
            app_guid=identity.app_guid,
            instance_guid=identity.instance_guid,
            index=identity.index,
            node_guid=around.node_guid,
            description=crash.description,
            crash_count=crash.count,
            at=around.clock(),
            version=identity.app_version,
        )
        self._say("API", line, "OUT")
        around.crashes.report(
            identity.app_guid,
            RecordCrash(
                instance_guid=identity.instance_guid,
                epoch=identity.epoch,
                node_guid=around.node_guid,
                exit_description=crash.description,
                exit_code=crash.exit_code,
            ),
        )

    def _say(self, source_type: str, text: str, stream: Stream) -> None:
        index = str(self.identity.index)
        self._around.logs.say(self.identity.app_guid, source_type, text, stream=stream, instance_id=index)


def _ending(ended: Exit) -> Ending:
    return Ending(
        code=ended.code,
        signal=ended.signal,
        out_of_memory=ended.reason == "out of memory",
        lease_ended=ended.reason == "lease ended",
    )
