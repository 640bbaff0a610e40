"""What a container hands over after each step: read under limits into fixed shapes, failures put into words."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from paasd.buildpacks import failure as codes
from paasd.errors import PaasdError
from paasd.model import DropletBuildpack, DropletSidecar
from paasd.model.naming import NAME_LIMIT
from paasd.model.processes import COMMAND_LIMIT_BYTES, can_be_run
from paasd.sandbox import Exit

Text = Annotated[str, Meta(max_length=4096)]
ProcessType = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z", max_length=255)]
Command = Annotated[str, Meta(max_length=65_536)]
# packed.json, from the pack step: bytes by image.
Packed = dict[str, Annotated[int, Meta(ge=0, le=2**63 - 1)]]
_TITLES = {
    codes.DETECT_FAILED: (
        "NoAppDetectedError",
        "An app was not successfully detected by any available buildpack",
    ),
    codes.COMPILE_FAILED: ("BuildpackCompileFailed", "App staging failed in the buildpack compile phase"),
    codes.RELEASE_FAILED: ("BuildpackReleaseFailed", "App staging failed in the buildpack release phase"),
}
_MEMORY = re.compile(r"([0-9]+)\s*([KMGT]?)B?", re.IGNORECASE)
# Python makes no number of more than 4300 digits, and no row takes one of more than 64 bits.
_MEMORY_DIGITS = 9


class StagingError(PaasdError):
    """The build fails; `detail` is its error text, beginning with Cloud Foundry's name for it."""


class ChosenBuildpack(msgspec.Struct, frozen=True):
    name: Text
    index: Text
    detected: Text
    external: bool


class PlannedLayer(msgspec.Struct, frozen=True):
    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    paths: Annotated[list[Text], Meta(max_length=1000)]
    launch: bool
    tree: Text


class PlanFile(msgspec.Struct, frozen=True):
    """plan.json, from the detect step."""

    fingerprint: Text
    timings: dict[str, float]
    buildpacks: Annotated[list[ChosenBuildpack], Meta(max_length=100)]
    toolchains: Annotated[list[tuple[Text, Text]], Meta(max_length=100)]
    layers: Annotated[list[PlannedLayer], Meta(max_length=100)]
    moving: bool


class ToldBuildpack(msgspec.Struct, frozen=True):
    key: Text
    name: Text
    version: Text
    detect_output: Text


class Metadata(msgspec.Struct, frozen=True):
    detected_buildpack: Text
    buildpacks: Annotated[list[ToldBuildpack], Meta(max_length=100)]


class Sidecar(msgspec.Struct, frozen=True):
    name: Text
    command: Command
    process_types: Annotated[list[ProcessType], Meta(max_length=100)]
    memory: Text | int | float | None = None

    def __post_init__(self) -> None:
        _check_run(self.name, self.command)


class ResultFile(msgspec.Struct, frozen=True):
    """result.json, from the build step."""

    process_types: dict[ProcessType, Command]
    sidecars: Annotated[list[Sidecar], Meta(max_length=100)]
    lifecycle_metadata: Metadata
    layers: Annotated[list[PlannedLayer], Meta(max_length=100)]
    toolchains: Annotated[list[tuple[Text, Text]], Meta(max_length=100)]
    suggestion: Command = ""
    cached: bool = False

    def __post_init__(self) -> None:
        for name, command in self.process_types.items():
            _check_run(name, command)


def _check_run(name: str, command: str) -> None:
    """Raise ValueError, which reading turns into its own error, for what no instance could be started with."""
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
        raise ValueError(f"{name[:80]!a} is no name of a process: 1 to {NAME_LIMIT} printable characters")
    if not can_be_run(command):
        raise ValueError(f"the command of {name[:80]} has NUL in it, or more than {COMMAND_LIMIT_BYTES} bytes")


class FailureFile(msgspec.Struct, frozen=True):
    """failure.json, from any step."""

    step: Text
    reason: Text
    advice: Text
    code: int


def buildpacks_of(result: ResultFile) -> list[DropletBuildpack]:
    return [
        DropletBuildpack(
            name=told.key,
            detect_output=told.detect_output or None,
            buildpack_name=told.name,
            version=told.version or None,
        )
        for told in result.lifecycle_metadata.buildpacks
    ]


def sidecars_of(result: ResultFile) -> list[DropletSidecar]:
    return [
        DropletSidecar(
            name=sidecar.name,
            command=sidecar.command,
            process_types=sidecar.process_types,
            memory_mb=_megabytes(sidecar),
        )
        for sidecar in result.sidecars
    ]


def _megabytes(sidecar: Sidecar) -> int | None:
    match = _MEMORY.fullmatch(str(sidecar.memory)) if sidecar.memory is not None else None
    if match is None:
        return None
    if len(match[1]) > _MEMORY_DIGITS:
        raise StagingError(
            f"StagingError - Staging error: the sidecar {_one_line(sidecar.name[:80])} asks for more memory than there "
            f"is; write a number of at most {_MEMORY_DIGITS} digits"
        )
    factor = {"": 1, "M": 1, "G": 1024, "T": 1024**2}.get(match[2].upper())
    return int(match[1]) * factor if factor else max(1, int(match[1]) // 1024)


def failure_text(
    phase: str,
    exit_: Exit,
    told: FailureFile | None,
    *,
    out_of_memory: bool,
    disk_full: bool,
    pids_full: bool,
    memory_mb: int,
    disk_mb: int,
    pids: int,
) -> str:
    """The build's error: which step, why, what to do. What the kernel saw goes before what programs said."""
    code = exit_.code if exit_.code in _TITLES else None
    if out_of_memory or exit_.reason == "out of memory":
        name, general = _TITLES.get(code or 0, ("StagingError", "Staging error"))
        return (
            f"{name} - {general}: the {phase} step ran out of memory ({memory_mb} MB); "
            "give staging more memory, or let the build use less"
        )
    if disk_full:
        name, general = _TITLES.get(code or 0, ("StagingError", "Staging error"))
        return (
            f"{name} - {general}: the {phase} step used up its disk ({disk_mb} MB); "
            "raise disk_quota in the manifest, or leave out files with .cfignore"
        )
    # Added to what was said, since programs may live with it.
    crowd = f"; it had as many processes as it may have ({pids}), let it start fewer at once" if pids_full else ""
    if told is not None and exit_.code is not None:
        name, general = _TITLES.get(exit_.code, ("StagingError", "Staging error"))
        sentence = f"{told.step}: {told.reason}" + (f"; {told.advice}" if told.advice else "")
        return f"{name} - {general}: {_one_line(sentence)}{crowd}"
    how = {
        "exited": f"exited with {exit_.code}",
        "signal": f"was ended by signal {exit_.signal}",
        "killed": "was killed",
        "lost": "was lost with the process that watched it; push again",
    }.get(exit_.reason, exit_.reason)
    return f"StagingError - Staging error: the {phase} step {how}; its lines in the log say more{crowd}"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:2000]
