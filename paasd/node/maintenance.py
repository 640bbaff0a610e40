"""What is done to a node from outside of its daemon: stopping it, with or without what it keeps running; stacks."""

import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import trio

from paasd.config import Config, load_config
from paasd.errors import PaasdError
from paasd.etcd import Member
from paasd.node.node import API_SOCKET
from paasd.router import stop_left_over
from paasd.sandbox import open_sandbox
from paasd.sandbox.disk import open_images, open_stacks

STOP_LIMIT_S = 30.0


def stop_node(data: Path, config_path: Path | None, *, everything: bool) -> Iterator[str]:
    """Stop the daemon on `data`; with `everything` also instances, shims, Envoy and etcd. Yields what was done.

    Raises PaasdError when the daemon does not end within STOP_LIMIT_S.
    """
    config = load_config(config_path)
    if config_path is None:
        config = msgspec.structs.replace(config, data=str(data))
    directory = Path(config.data)
    if not directory.is_dir():
        raise PaasdError(f"there is no node in {directory}; name its directory with --data")
    pid = daemon_pid(directory)
    if pid is None:
        yield f"no daemon runs on {directory}"
    else:
        _end(pid)
        yield f"the daemon (pid {pid}) ended"
    if everything:
        yield from trio.run(end_everything, config, directory)


def daemon_pid(directory: Path) -> int | None:
    """The process that listens on the API's Unix socket, None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.connect(str(directory / "run" / API_SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)


def _end(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], STOP_LIMIT_S)[0]:
            raise PaasdError(
                f"the daemon (pid {pid}) did not end within {STOP_LIMIT_S:.0f} s; kill -9 it and try again"
            )
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


async def end_everything(config: Config, directory: Path) -> list[str]:
    """No instance, Envoy or etcd of this directory runs any more; its daemon must not either. What was done."""
    lines = []
    async with open_sandbox(config.sandbox, directory, network=config.network, disk=config.disk, keep=False) as sandbox:
        lines.append(f"{len(sandbox.containers)} containers ended")
    if await stop_left_over(config.router, directory):
        lines.append("Envoy ended")
    if await Member(directory / "etcd").stop():
        lines.append("etcd ended")
    return lines


def build_stack(data: Path, name: str, *, small: bool, progress: Callable[[str], None]) -> str:
    """Build the stack `name` for the node on `data`; the digest of its image."""
    return trio.run(_build_stack, load_config(None), data, name, small, progress)


async def _build_stack(config: Config, data: Path, name: str, small: bool, progress: Callable[[str], None]) -> str:
    run = data / "run"
    async with (
        open_images(config.disk, directory=data / "images", run_dir=run / "images") as images,
        open_stacks(config.disk, directory=data / "stacks", run_dir=run / "stacks", images=images) as stacks,
    ):
        return (await stacks.build(name, progress, small=small)).sha256
