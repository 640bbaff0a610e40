"""Printing for people: tables, sizes, times, the progress of a push, and its waterfall."""

import base64
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

WATERFALL_COLUMNS = 40
SHORT_S = 0.005
"""Parts of a build that took less are not worth a line."""
STATE_COLORS = {"running": "green", "started": "green", "crashed": "red", "down": "red", "starting": "yellow"}
_COLOR_CODES = re.compile(r"\x1b\[[0-9;]*m")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; nothing is cut. States have colours on a terminal."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    for number, row in enumerate([list(headings), *cells]):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number == 0:
            click.secho("  ".join(padded).rstrip(), bold=True)
        else:
            click.echo("  ".join(_colored(cell) for cell in padded).rstrip())


def fields(rows: Iterable[tuple[str, object]]) -> None:
    """`name:  value` lines, the values below each other."""
    known = list(rows)
    width = max(len(name) for name, _ in known) + 1
    for name, value in known:
        click.echo(f"{click.style((name + ':').ljust(width), bold=True)}  {value}")


def _colored(cell: str) -> str:
    color = STATE_COLORS.get(cell.rstrip())
    return click.style(cell, fg=color) if color else cell


def size(count_bytes: float) -> str:
    """Bytes in the unit that reads best, such as 32.7M, 256M or 1G."""
    power = 0
    while abs(count_bytes) >= 1024 and power < 3:
        count_bytes, power = count_bytes / 1024, power + 1
    return f"{count_bytes:.1f}".removesuffix(".0") + "BKMG"[power]


def duration(seconds: float) -> str:
    """Seconds in the two units that read best, such as 3m 12s."""
    whole = int(seconds)
    for unit_s, name, smaller_s, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit_s:
            return f"{whole // unit_s}{name} {whole % unit_s // smaller_s}{smaller}"
    return f"{whole}s"


def moment(text: str) -> str:
    """A time of the API as `2026-01-02 03:04:05 UTC, 3m 12s ago`."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {duration(max(0.0, (datetime.now(UTC) - at).total_seconds()))} ago"


def progress(text: str) -> None:
    """A line about what is being done, beside the output."""
    click.secho(f"-- {text}", fg="cyan", err=True)


def push_event(event: dict[str, Any]) -> None:
    """One line of progress for an event of a push."""
    match event["type"]:
        case "step" if event["state"] == "begun":
            progress(f"{event['name']} ...")
        case "step":
            progress(f"{event['name']} done in {event['duration_s']:.2f} s")
        case "log":
            click.echo(f"   {printable(event['line'])}", err=True)


def waterfall(steps: Sequence[dict[str, Any]]) -> None:
    """Bars one after the other, as long as each step took."""
    total = sum(step["duration_s"] for step in steps) or 1.0
    begun = 0.0
    for step in steps:
        left = round(begun / total * WATERFALL_COLUMNS)
        bar = max(1, round(step["duration_s"] / total * WATERFALL_COLUMNS))
        begun += step["duration_s"]
        if step["duration_s"] >= SHORT_S:
            click.echo(f"  {step['name']:<10} {step['duration_s']:>7.2f} s  {' ' * left}{'#' * bar}")
    click.echo(f"  {'total':<10} {total:>7.2f} s")


def log_line(envelope: dict[str, Any]) -> None:
    """A log-cache envelope as `2026-01-02T03:04:05.67+0000 [APP/PROC/WEB/0] OUT text`."""
    at = datetime.fromtimestamp(int(envelope["timestamp"]) / 1e9, UTC)
    source = f"{envelope['tags'].get('source_type', 'APP')}/{envelope.get('instance_id') or 0}"
    text = base64.b64decode(envelope["log"]["payload"]).decode("utf-8", "replace")
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 10000:02d}+0000"
    click.echo(f"{stamp} [{printable(source)}] {envelope['log'].get('type', 'OUT')} {printable(text)}")
    sys.stdout.flush()


def printable(text: str) -> str:
    """A tenant's line without colours and without the control characters that could rewrite the reader's terminal."""
    plain = _COLOR_CODES.sub("", text)
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in plain)
