"""`paasd join`: this machine becomes a member before its daemon starts for the first time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import trio

import paasd
from paasd.config import Config, load_config
from paasd.errors import PaasdError
from paasd.membership import Machine, MemberFile, MemberFiles, choose_ports, join, parse_token
from paasd.node.identity import measure, node_guid, prepare_directory
from paasd.state.engine import load_migrations
from paasd.state.engine.opening import FILE_NAME


def join_platform(data: Path, config_path: Path | None, token: str, say: Callable[[str], None]) -> MemberFile:
    """Join with the data directory of the configuration, else with `data`. Raises PaasdError with what to do."""
    config = load_config(config_path)
    if config_path is None:
        config = msgspec.structs.replace(config, data=str(data))
    return trio.run(partial(join_node, config, token, say))


async def join_node(config: Config, token: str, say: Callable[[str], None]) -> MemberFile:
    """Join by the token, without starting anything. One that has joined already is told so."""
    wanted = parse_token(token)
    directory = prepare_directory(Path(config.data))
    files = MemberFiles(directory)
    if files.exists:
        raise PaasdError(f"{directory} belongs to a node that has joined already; start it with the same --config")
    if (directory / FILE_NAME).exists():
        raise PaasdError(
            f"{directory} belongs to a node of its own, with its own apps; join with a new directory: "
            "`paasd --data DIR join TOKEN`, or another `data` in its configuration file"
        )
    facts = measure(config, directory, node_guid(directory))
    machine = Machine(
        guid=facts.guid,
        name=facts.name,
        zone=facts.zone,
        memory_mb=facts.memory_mb,
        disk_mb=facts.disk_mb,
        cpus=facts.cpus,
        listen=config.cluster.listen,
        address=config.cluster.address,
        ports=choose_ports(config.cluster),
        version=paasd.__version__,
        schema_limit=len(load_migrations()),
    )
    return await join(wanted, machine, directory, config.peer, say)
