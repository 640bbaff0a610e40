"""Health checks, made from the host against the container's address. Each gives None, or what is wrong in one sentence.

They never take longer than their timeout, and what a tenant answers is read up to a limit and never interpreted.
"""

import os

import h11
import trio

from paasd.model import HealthCheck

_HEAD_LIMIT_BYTES = 64 * 1024


async def check(health: HealthCheck, address: str, port: int, timeout_s: float) -> str | None:
    """Perform one check of the given kind. `timeout_s` bounds all of it."""
    if health.type == "process":
        return None  # the end of the process is noticed by itself
    if health.type == "http":
        return await check_http(address, port, health.endpoint or "/", timeout_s)
    return await check_port(address, port, timeout_s)


async def check_port(address: str, port: int, timeout_s: float) -> str | None:
    """Whether something accepts a connection."""
    try:
        with trio.fail_after(timeout_s):
            stream = await _connect(address, port)
    except trio.TooSlowError:
        return f"Failed to make TCP connection to port {port}: timed out after {timeout_s:.2f} seconds"
    except OSError as error:
        return f"Failed to make TCP connection to port {port}: {_reason(error)}"
    await trio.aclose_forcefully(stream)
    return None


async def check_http(address: str, port: int, path: str, timeout_s: float) -> str | None:
    """Whether GET `path` is answered with status 200."""
    prefix = f"Failed to make HTTP request to '{path}' on port {port}"
    started = trio.current_time()
    try:
        with trio.fail_after(timeout_s):
            status = await _status(address, port, path)
    except trio.TooSlowError:
        return f"{prefix}: timed out after {timeout_s:.2f} seconds"
    except OSError as error:
        return f"{prefix}: {_reason(error)}"
    except trio.BrokenResourceError:
        return f"{prefix}: the connection was closed"
    except h11.ProtocolError:
        return f"{prefix}: the answer is not HTTP"
    if status != 200:
        return f"{prefix}: received status code {status} in {(trio.current_time() - started) * 1000:.0f}ms"
    return None


async def _connect(address: str, port: int) -> trio.SocketStream:
    family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    connection = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return trio.SocketStream(connection)


async def _status(address: str, port: int, path: str) -> int:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT_BYTES)
    request = h11.Request(
        method="GET",
        target=path.encode(),
        headers=[("Host", f"{address}:{port}"), ("User-Agent", "paasd-healthcheck"), ("Connection", "close")],
    )
    stream = await _connect(address, port)
    try:
        await stream.send_all((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive_some(_HEAD_LIMIT_BYTES)
                if not data:
                    raise trio.BrokenResourceError
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                return event.status_code
    finally:
        await trio.aclose_forcefully(stream)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
