"""The sandbox: containers in which tenants' programs run, made of kernel parts and held by processes of their own.

`open_sandbox` gives a `Sandbox`: `create`, `start`, `wait`, `exec`, `kill`, `destroy`. Containers outlive the daemon;
the next one takes over those that are whole and sweeps the rest. `launcher/` holds what runs outside the daemon,
`network/` and `disk/` the two large parts, `inventory` lists everything on the host that carries a node's mark.
"""

from paasd.sandbox.container import PORT, Container
from paasd.sandbox.disk import MountError, StackMissing, mksquashfs_arguments, squashfs_options
from paasd.sandbox.interface import AnyContainer, AnyExec, AnySandbox, AnyStacks
from paasd.sandbox.inventory import Inventory, take_inventory
from paasd.sandbox.network import PUBLIC, PUBLIC_EGRESS, Call, EgressRule, GroupRule, Policies
from paasd.sandbox.records import (
    Bind,
    ContainerSpec,
    Exit,
    Limits,
    NotRunning,
    ProcessSpec,
    SandboxError,
    Terminal,
    Usage,
)
from paasd.sandbox.sandbox import Sandbox, node_prefix, open_sandbox
from paasd.sandbox.session import Exec, Session

__all__ = [
    "PORT",
    "PUBLIC",
    "PUBLIC_EGRESS",
    "AnyContainer",
    "AnyExec",
    "AnySandbox",
    "AnyStacks",
    "Bind",
    "Call",
    "Container",
    "ContainerSpec",
    "EgressRule",
    "Exec",
    "Exit",
    "GroupRule",
    "Inventory",
    "Limits",
    "MountError",
    "NotRunning",
    "Policies",
    "ProcessSpec",
    "Sandbox",
    "SandboxError",
    "Session",
    "StackMissing",
    "Terminal",
    "Usage",
    "mksquashfs_arguments",
    "node_prefix",
    "open_sandbox",
    "squashfs_options",
    "take_inventory",
]
