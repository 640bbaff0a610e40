"""Printing for people: tables, sizes, the progress of a push, and its waterfall."""

import base64
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

WATERFALL_COLUMNS = 40


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; nothing is cut."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    for number, row in enumerate([list(headings), *cells]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)


def size(count_bytes: float) -> str:
    """Bytes in the unit that reads best, such as 1.5G."""
    for unit in ("B", "K", "M"):
        if abs(count_bytes) < 1024:
            return f"{count_bytes:.0f}{unit}" if unit == "B" else f"{count_bytes:.1f}{unit}"
        count_bytes /= 1024
    return f"{count_bytes:.1f}G"


def push_event(event: dict[str, Any]) -> None:
    """One line of progress for an event of a push."""
    match event["type"]:
        case "step" if event["state"] == "begun":
            click.secho(f"-- {event['name']} ...", fg="cyan", err=True)
        case "step":
            click.secho(f"-- {event['name']} done in {event['duration_s']:.2f} s", fg="cyan", err=True)
        case "log":
            click.echo(f"   {event['line']}", err=True)


def waterfall(steps: Sequence[dict[str, Any]]) -> None:
    """Bars one after the other, as long as each step took."""
    total = sum(step["duration_s"] for step in steps) or 1.0
    begun = 0.0
    for step in steps:
        left = round(begun / total * WATERFALL_COLUMNS)
        bar = max(1, round(step["duration_s"] / total * WATERFALL_COLUMNS))
        click.echo(f"  {step['name']:<10} {step['duration_s']:>7.2f} s  {' ' * left}{'#' * bar}")
        begun += step["duration_s"]
    click.echo(f"  {'total':<10} {total:>7.2f} s")


def log_line(envelope: dict[str, Any]) -> None:
    """A log-cache envelope as `2026-01-02T03:04:05.67+0000 [APP/PROC/WEB/0] OUT text`."""
    at = datetime.fromtimestamp(int(envelope["timestamp"]) / 1e9, UTC)
    source = f"{envelope['tags'].get('source_type', 'APP')}/{envelope.get('instance_id') or 0}"
    text = base64.b64decode(envelope["log"]["payload"]).decode("utf-8", "replace")
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 10000:02d}+0000"
    click.echo(f"{stamp} [{source}] {envelope['log'].get('type', 'OUT')} {_printable(text)}")
    sys.stdout.flush()


def _printable(text: str) -> str:
    """A tenant's line without the control characters that could rewrite the reader's terminal."""
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
