"""From rows to the container of a task: as an instance, but for command, label and name in the logs."""

from collections.abc import Callable

import msgspec

from paasd.blobs import Blobs
from paasd.config import SupervisorConfig
from paasd.logs import Line, MakeLine, Stream
from paasd.model import App, Droplet, HealthCheck, Task
from paasd.model.variable_groups import has_secrets
from paasd.model.vcap import application_version, vcap_application
from paasd.sandbox import ContainerSpec
from paasd.state import Database
from paasd.supervisor.launch import Identity, Plan, in_order, limits_of
from paasd.unsealing import Unsealed, Unsealing

LABEL = "paasd.task"


class TaskIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in a label of the container, so that a new daemon knows what it has found."""

    task_guid: str
    epoch: int
    app_guid: str
    name: str
    log_limit_bytes: int

    @classmethod
    def of(cls, task: Task) -> "TaskIdentity":
        """That of a row."""
        return cls(
            task_guid=task.guid,
            epoch=task.epoch,
            app_guid=task.app_guid,
            name=task.name,
            log_limit_bytes=task.log_rate_limit_bytes,
        )

    @property
    def source_type(self) -> str:
        """How its lines are marked."""
        return f"APP/TASK/{self.name}"


def task_of(labels: dict[str, str]) -> TaskIdentity | None:
    """None for a container that is no task of ours."""
    try:
        return msgspec.json.decode(labels[LABEL], type=TaskIdentity)
    except (KeyError, msgspec.MsgspecError):
        return None


def task_line_maker(identity: TaskIdentity) -> MakeLine:
    """Lines of a task's output."""
    tags = {"process_type": "TASK", "process_instance_id": identity.task_guid}

    def make_line(stream: Stream, at_ns: int, payload: bytes) -> Line:
        return Line(
            source_id=identity.app_guid,
            instance_id="0",
            source_type=identity.source_type,
            stream=stream,
            timestamp_ns=at_ns,
            payload=payload,
            tags=tags,
        )

    return make_line


class TaskPlanner(msgspec.Struct, frozen=True, kw_only=True):
    """One per node."""

    config: SupervisorConfig
    database: Database
    blobs: Blobs
    unsealing: Unsealing
    default_stack: str
    api_url: str
    clock: Callable[[], float]

    async def plan(self, identity: TaskIdentity, container_guid: str) -> tuple[ContainerSpec, Plan]:
        """Raises PaasdError: Unavailable when it may work later, else a row or layer is gone."""
        with self.database.read() as tx:
            task = tx.need(Task, identity.task_guid)
            sealed = has_secrets(tx, tx.need(App, task.app_guid), "running")
            layers = tx.need(Droplet, task.droplet_guid).layers
        for layer in layers:
            await self.blobs.ensure(layer.sha256)
        unsealed = await self.unsealing.task(task.guid, identity.epoch) if sealed else Unsealed()
        plan = self._plan(task, identity, unsealed)
        spec = plan.container(container_guid, self.clock())
        labels = {LABEL: msgspec.json.encode(identity).decode()}
        return msgspec.structs.replace(spec, kind="task", labels=labels), plan

    def _plan(self, task: Task, identity: TaskIdentity, unsealed: Unsealed) -> Plan:
        config = self.config
        with self.database.read() as tx:
            app, droplet = tx.need(App, task.app_guid), tx.need(Droplet, task.droplet_guid)
            application = vcap_application(
                tx,
                app,
                api_url=self.api_url,
                memory_mb=task.memory_mb,
                disk_mb=task.disk_mb,
                fds=config.open_files,
            )
        return Plan(
            identity=Identity(
                instance_guid=task.guid,
                epoch=identity.epoch,
                app_guid=app.guid,
                process_guid="",
                process_type="task",
                index=0,
                app_version=application_version(app),
                health=HealthCheck(type="process"),
                readiness=HealthCheck(type="process"),
                log_limit_bytes=task.log_rate_limit_bytes,
            ),
            stack=droplet.stack or self.default_stack,
            layers=tuple(self.blobs.path(layer.sha256) for layer in in_order(droplet.layers)),
            limits=limits_of(config, task.memory_mb, task.disk_mb),
            command=task.command,
            sidecars=(),
            environment=unsealed.environment,
            application=application,
            services=unsealed.services,
            memory_mb=task.memory_mb,
            space_guid=app.space_guid,
        )
