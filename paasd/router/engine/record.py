"""The file by which the next daemon finds the Envoy that serves."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The file beside Envoy's sockets that lets the next daemon find it. `start_time` is in clock ticks since boot."""

    version: int = 1
    pid: int
    start_time: int
    boot_id: str
    configuration: str
    http_port: int
    https_port: int
    tunnel: tuple[str, int] | None = None  # where it listens for other nodes
    doorway: int = 0  # where it listens for calls between apps
