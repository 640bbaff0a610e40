"""From rows to a container: what an instance needs to be started, and what it must be recognised by later."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from paasd.blobs import Blobs
from paasd.buildpacks import launch as droplet_launch
from paasd.config import SupervisorConfig
from paasd.errors import PaasdError
from paasd.model import App, Droplet, DropletLayer, HealthCheck, Instance, Process, Revision, Sidecar, SidecarSnapshot
from paasd.model.revisions import deployed_revision
from paasd.model.security_groups import group_name
from paasd.model.vcap import application_version, running_application, vcap_application
from paasd.sandbox import PORT, ContainerSpec, Limits, Policies, ProcessSpec
from paasd.state import ReadTx
from paasd.supervisor.sidecars import with_sidecars
from paasd.unsealing import Unsealed

LABEL = "paasd.instance"
_MB = 1024 * 1024
_LAYER_ORDER = {"toolchain": 0, "dependencies": 1, "app": 2}
_WORKER_MB = 256  # memory that one worker of a typical server takes; Heroku's rule of thumb


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in a label of the container, so that a new daemon knows what it has found without asking any row."""

    instance_guid: str
    epoch: int
    app_guid: str
    process_guid: str
    process_type: str
    index: int
    app_version: str
    health: HealthCheck
    readiness: HealthCheck
    log_limit_bytes: int
    started_at: float = 0.0  # unix seconds

    def label(self) -> dict[str, str]:
        return {LABEL: msgspec.json.encode(self).decode()}


def identity_of(labels: dict[str, str]) -> Identity | None:
    """None for a container that is not an instance of ours, or whose label cannot be read any more."""
    try:
        return msgspec.json.decode(labels[LABEL], type=Identity)
    except (KeyError, msgspec.MsgspecError):
        return None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one launch except the container's own name and address."""

    identity: Identity
    stack: str
    layers: tuple[Path, ...]
    limits: Limits
    command: str
    sidecars: tuple[tuple[str, str], ...]  # (name, command)
    environment: dict[str, str]  # the app's own
    application: dict[str, object]  # VCAP_APPLICATION
    services: dict[str, Any]  # VCAP_SERVICES
    memory_mb: int
    space_guid: str

    def container(self, guid: str, started_at: float) -> ContainerSpec:
        identity = msgspec.structs.replace(self.identity, started_at=started_at)
        return ContainerSpec(
            guid=guid,
            kind="app",
            stack=self.stack,
            layers=self.layers,
            limits=self.limits,
            policies=Policies(group=group_name("running", self.space_guid), caller=self.identity.app_guid),
            labels=identity.label(),
        )

    def process(
        self, address: str, cpus: int, spool_limit_bytes: int, *, port: int = PORT, root: str = ""
    ) -> ProcessSpec:
        """What the container at `address` runs; `root` goes before the paths of the container."""
        env = droplet_launch.launch_environment(
            app_environment={"WEB_CONCURRENCY": str(web_concurrency(self.memory_mb, cpus)), **self.environment},
            vcap_application=self.application,
            vcap_services=self.services,
            memory_mb=self.memory_mb,
            home=f"{root}/home/vcap",
            port=port,
            instance_guid=self.identity.instance_guid,
            instance_index=self.identity.index,
            address=address,
        )
        argv = droplet_launch.launch_argv(self.command)
        if self.sidecars:
            argv = with_sidecars(argv, [(name, droplet_launch.launch_argv(run)) for name, run in self.sidecars])
        return ProcessSpec(argv=tuple(argv), env=env, cwd=env["HOME"], spool_limit_bytes=spool_limit_bytes)


def web_concurrency(memory_mb: int, cpus: int) -> int:
    """Workers of a web server that fit into the memory, and no more than twice the cores."""
    return max(1, min(memory_mb // _WORKER_MB, 2 * cpus))


def identity_for(tx: ReadTx, instance: Instance) -> Identity:
    """Raises NotFound when the process or app is gone."""
    process = tx.need(Process, instance.process_guid)
    app = tx.need(App, instance.app_guid)
    return Identity(
        instance_guid=instance.guid,
        epoch=instance.epoch,
        app_guid=instance.app_guid,
        process_guid=instance.process_guid,
        process_type=instance.process_type,
        index=instance.index,
        app_version=application_version(app),
        health=process.health_check,
        readiness=process.readiness_health_check,
        log_limit_bytes=instance.log_rate_limit_bytes,
    )


def plan_launch(
    tx: ReadTx,
    instance_guid: str,
    *,
    config: SupervisorConfig,
    blobs: Blobs,
    unsealed: Unsealed,
    default_stack: str,
    api_url: str,
) -> Plan:
    """Read what one launch needs. Raises PaasdError (a row or layer is gone, no command)."""
    instance = tx.need(Instance, instance_guid)
    app = tx.need(App, instance.app_guid)
    process = tx.need(Process, instance.process_guid)
    droplet = tx.need(Droplet, instance.droplet_guid)
    revision = deployed_revision(tx, app)
    own = process.command if revision is None else revision.commands.get(process.type, process.command)
    command = droplet_launch.start_command(own, droplet.process_types, process.type)
    if command is None:
        raise PaasdError(f"{droplet_launch.NO_COMMAND}; add a Procfile or push with a command")
    application = vcap_application(
        tx,
        app,
        api_url=api_url,
        memory_mb=instance.memory_mb,
        disk_mb=instance.disk_mb,
        fds=config.open_files,
    )
    return Plan(
        identity=identity_for(tx, instance),
        stack=droplet.stack or default_stack,
        layers=tuple(blobs.path(layer.sha256) for layer in in_order(droplet.layers)),
        limits=limits_of(config, instance.memory_mb, instance.disk_mb),
        command=command,
        sidecars=_sidecars(tx, app, process, revision),
        environment=unsealed.environment,
        application=running_application(application, process),
        services=unsealed.services,
        memory_mb=instance.memory_mb,
        space_guid=app.space_guid,
    )


def limits_of(config: SupervisorConfig, memory_mb: int, disk_mb: int) -> Limits:
    """Those of an instance or a task of this size."""
    return Limits(
        memory_bytes=memory_mb * _MB,
        # As in Cloud Foundry, processor time is shared out in proportion to memory.
        cpu_weight=max(1, min(10_000, memory_mb * 100 // 1024)),
        cpu_cores=config.cores_limit or None,
        pids=config.pids,
        disk_bytes=disk_mb * _MB,
        inodes=config.inodes,
        open_files=config.open_files,
    )


def in_order(layers: Iterable[DropletLayer]) -> list[DropletLayer]:
    """Toolchains lowest, the app on top."""
    return sorted(layers, key=lambda layer: _LAYER_ORDER.get(layer.role, 1))


def _sidecars(tx: ReadTx, app: App, process: Process, revision: Revision | None) -> tuple[tuple[str, str], ...]:
    """(name, command) of each, as they were at the last start if that is known."""
    rows: Sequence[Sidecar | SidecarSnapshot]
    rows = tx.all(Sidecar, app_guid=app.guid, order=("created_at", "name")) if revision is None else revision.sidecars
    return tuple((row.name, row.command) for row in rows if process.type in row.process_types)
