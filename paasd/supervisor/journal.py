"""What must be remembered of an instance while no daemon runs: its crashes, and whether it was healthy.

One small file per instance below the node's data directory. Not synced: after a power cut no instance is left either.
"""

from pathlib import Path

import msgspec


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Times in unix seconds."""

    epoch: int
    crash_count: int = 0
    crashed_at: float | None = None
    healthy_since: float | None = None
    details: str | None = None  # of the last crash


class Journal:
    """Reads and writes memories; a file that cannot be read is as good as none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, instance_guid: str, epoch: int) -> Memory:
        try:
            memory = msgspec.json.decode(self._path(instance_guid).read_bytes(), type=Memory)
        except (OSError, msgspec.MsgspecError):
            return Memory(epoch=epoch)
        return memory if memory.epoch == epoch else Memory(epoch=epoch)

    def write(self, instance_guid: str, memory: Memory) -> None:
        """Replace the memory. Without space it is left as it is: the instance matters more than its past."""
        path = self._path(instance_guid)
        new = path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(memory))
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)

    def forget(self, instance_guid: str) -> None:
        self._path(instance_guid).unlink(missing_ok=True)

    def keep_only(self, instance_guids: set[str]) -> None:
        """Remove what is left of instances that are no more."""
        for path in self._directory.iterdir():
            if path.stem not in instance_guids:
                path.unlink(missing_ok=True)

    def _path(self, instance_guid: str) -> Path:
        return self._directory / f"{instance_guid}.json"
