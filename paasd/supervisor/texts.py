"""Cloud Foundry's words for what happens to an instance. Developers search for them, so they are kept."""

import json

import msgspec


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended: with `code`, by `signal`, or with neither when nobody saw it."""

    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False  # the kernel ended it, whatever the signal says
    lease_ended: bool = False  # its node could not renew the right to run it

    @property
    def status(self) -> int:
        """The status as a shell reports it."""
        if self.out_of_memory:
            return 137
        if self.signal is not None:
            return 128 + self.signal
        return 255 if self.code is None else self.code


def exit_status(ending: Ending) -> str:
    if ending.out_of_memory:
        return "Exit status 137 (out of memory)"
    if ending.lease_ended:
        return "Exit status 137 (its node could not renew the lease of this singleton)"
    if ending.code is None and ending.signal is None:
        return "Exit status unknown (the process that watched it was lost)"
    return f"Exit status {ending.status}"


def exit_description(source_type: str, ending: Ending) -> str:
    return f"{source_type}: {exit_status(ending).replace('Exit status', 'Exited with status')}"


def never_healthy(after_s: float, failure: str) -> str:
    return f"Instance never healthy after {duration(after_s)}: {failure}"


def became_unhealthy(failure: str) -> str:
    return f"Instance became unhealthy: {failure}"


def duration(seconds: float) -> str:
    """As Go prints durations: 1m0s, 90s as 1m30s, 5s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def app_source_type(process_type: str) -> str:
    return f"APP/PROC/{process_type.upper()}"


def crash_line(
    *,
    app_guid: str,
    instance_guid: str,
    index: int,
    node_guid: str,
    description: str,
    crash_count: int,
    at: float,
    version: str,
) -> str:
    """The line that the API writes for a crashed instance."""
    payload = {
        "instance": instance_guid,
        "index": index,
        "cell_id": node_guid,
        "reason": "CRASHED",
        "exit_description": description,
        "crash_count": crash_count,
        "crash_timestamp": int(at * 1e9),
        "version": version,
    }
    return f"App instance exited with guid {app_guid} payload: {json.dumps(payload)}"
