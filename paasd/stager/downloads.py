"""Droplets as Cloud Foundry's tgz, streamed out of a container that has their layers as an instance has them.

What a tenant put into a droplet is read by the tenant's own user inside the sandbox; the daemon passes bytes on.
The toolchains are left out, since `/home/vcap` is all that such an archive can hold; `staging_info.yml` names them.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
import trio

from paasd.blobs import Blobs
from paasd.config import StagingConfig
from paasd.errors import PaasdError, Unavailable
from paasd.model import Droplet, DropletLayer
from paasd.sandbox import AnyContainer, AnySandbox, ContainerSpec, Limits, ProcessSpec

_CHUNK_BYTES = 256 * 1024
_MB = 1024 * 1024
_LIMITS = Limits(memory_bytes=256 * _MB, disk_bytes=32 * _MB, pids=32, inodes=1000)
_ENVIRONMENT = {"HOME": "/home/vcap", "LANG": "C.UTF-8"}
_PACK = (
    "set -o pipefail; info=staging_info.yml; [ -e $info ] || info=; "
    "tar --create --sort=name ./app ./deps ./profile.d ./tmp ./logs ${info:+./$info} | gzip -n -3"
)


class Downloads:
    """At most `[staging] downloads` at once, each as long as `[staging] download_timeout_s`."""

    def __init__(self, config: StagingConfig, sandbox: AnySandbox, blobs: Blobs, default_stack: str) -> None:
        self._config = config
        self._sandbox = sandbox
        self._blobs = blobs
        self._default_stack = default_stack
        self._open = 0
        self._log = structlog.get_logger()

    def _check(self) -> None:
        if self._open >= self._config.downloads:
            raise Unavailable(
                f"There are {self._open} droplets being downloaded already ([staging] downloads); try again later"
            )

    async def open(self, droplet: Droplet) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The tgz, piece by piece, no faster than it is taken. Raises PaasdError, also when it cannot go on.

        Before anything is entered: Unavailable when there are as many as allowed or a layer cannot be had now, NotFound
        when a layer is nowhere.
        """
        self._check()
        for layer in _kept(droplet):
            await self._blobs.ensure(layer.sha256)
        return self._stream(droplet)

    @asynccontextmanager
    async def _stream(self, droplet: Droplet) -> AsyncIterator[AsyncIterator[bytes]]:
        self._check()
        self._open += 1
        try:
            container = await self._sandbox.create(self._spec(droplet))
            try:
                # It ends by itself, and with it everything in the container, however slowly somebody reads.
                watch = ("/usr/bin/sleep", f"{self._config.download_timeout_s:.0f}")
                await container.start(ProcessSpec(argv=watch, env=_ENVIRONMENT, cwd=f"{container.root}/home/vcap"))
                yield self._pieces(container, droplet)
            finally:
                with trio.CancelScope(shield=True):
                    await container.destroy()
        finally:
            self._open -= 1

    async def _pieces(self, container: AnyContainer, droplet: Droplet) -> AsyncIterator[bytes]:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        async with trio.lowlevel.FdStream(read_end) as stream:
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                fds, home = (nothing, write_end, nothing), f"{container.root}/home/vcap"
                packing = await container.exec(("/bin/bash", "-c", _PACK), _ENVIRONMENT, home, fds)
            finally:
                os.close(write_end)
                os.close(nothing)
            try:
                while chunk := await stream.receive_some(_CHUNK_BYTES):
                    yield bytes(chunk)
                code = await packing.wait()
            finally:
                packing.close()
        if code:
            # The answer has begun, so only a broken connection can still say that it is not whole.
            self._log.warning("droplet download failed", droplet=droplet.guid, code=code)
            raise PaasdError(f"the droplet could not be packed (code {code})")

    def _spec(self, droplet: Droplet) -> ContainerSpec:
        return ContainerSpec(
            guid=f"get-{droplet.guid}-{secrets.token_hex(3)}",
            # As a build, it is swept away by the next daemon.
            kind="build",
            stack=droplet.stack or self._default_stack,
            layers=tuple(self._blobs.path(layer.sha256) for layer in _kept(droplet)),
            limits=_LIMITS,
            labels={"droplet": droplet.guid},
        )


def _kept(droplet: Droplet) -> list[DropletLayer]:
    """The layers that an archive has, in the order in which they are mounted."""
    layers = [layer for layer in droplet.layers if layer.role != "toolchain"]
    return sorted(layers, key=lambda layer: layer.role == "app")
