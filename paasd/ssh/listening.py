"""The port for ssh."""

import socket
from typing import Final

import structlog

from paasd.config import Config

BACKLOG: Final = 128
RETRY_S: Final = 5.0


def listen(config: Config) -> socket.socket | None:
    """None, and a word in the log, when it cannot be had; to be tried again after `RETRY_S`."""
    host, port = config.ssh_host, config.ssh.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except (OSError, ValueError) as error:
        structlog.get_logger("paasd.ssh").warning(
            "no port for ssh; [ssh] host and port name another one", port=port, error=str(error)
        )
        return None
