"""A daemon to be killed: opens a sandbox in a process of its own and does as the command line says.

python -m tests.sandbox.daemon DATA SLOTS hold GUID...          start containers that count, say so, wait
python -m tests.sandbox.daemon DATA SLOTS die STEP              kill itself (-9) in the middle of creating one
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from paasd.sandbox import Sandbox, upper
from paasd.sandbox import container as container_module
from paasd.sandbox import sandbox as sandbox_module
from paasd.sandbox.cgroups import CgroupDriver
from paasd.sandbox.disk import Disks
from paasd.sandbox.disk import quota as quota_module
from paasd.sandbox.network import links as links_module
from paasd.sandbox.slots import Slots
from paasd.sandbox.zygote import Zygote

from .place import Place, shell, spec

# Where it dies: the object, the name of its function, and whether before ("") or after ("+") the call.
STEPS: dict[str, tuple[Any, str, str]] = {
    "after the slot": (Slots, "take", "+"),
    "after the cgroups": (CgroupDriver, "create", "+"),
    "inside the network, namespace made": (links_module, "create", "+"),
    "inside the disk, file made": (quota_module, "_mount", ""),
    "inside the disk, mounted": (quota_module, "_mount", "+"),
    "after the disk": (Disks, "create", "+"),
    "after the upper directory": (upper, "prepare", "+"),
    "after the layers": (sandbox_module, "mount_layers", "+"),
    "before the record is complete": (container_module.Container, "save", ""),
    "while the shim starts": (Zygote, "start_shim", ""),
    "after the shim has started": (Zygote, "start_shim", "+"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    owner, name, when = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)

    async def later(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        die()
        return result

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not when:
            die()
        result = original(*args, **kwargs)
        if isinstance(result, Awaitable):
            result.close()  # type: ignore[attr-defined]
            return later(*args, **kwargs)
        die()
        return result

    setattr(owner, name, wrapped)


async def hold(sandbox: Sandbox, guids: list[str]) -> None:
    for guid in guids:
        container = await sandbox.create(spec(guid, labels={"for": guid}))
        await container.start(shell("trap 'exit 17' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done"))
    print("holding", flush=True)
    await trio.sleep_forever()


async def main(data: str, slots: str, verb: str, arguments: list[str]) -> None:
    place = Place(Path(data), Path(slots))
    async with place.open(keep=True) as sandbox:
        if verb == "hold":
            await hold(sandbox, arguments)
        arm(arguments[0])
        layers = tuple(Path(path) for path in arguments[1:])
        container = await sandbox.create(spec("victim", layers=layers))
        await container.start(shell("sleep 1000"))


if __name__ == "__main__":
    trio.run(partial(main, sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
