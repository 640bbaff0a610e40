"""Commands about the audit events: whether they are all there and unchanged, and taking them elsewhere."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from paasd.cli import render
from paasd.cli.client import Target

ORGANIZATION = click.option("--org", metavar="NAME", help="The chain of one organization, not that of the platform.")


@click.group(short_help="Check and export who did what.")
def audit() -> None:
    """Who did what, from where, in a chain of hashes that shows every later change.

    Administrators see the chain of the platform, managers and auditors of an organization that of theirs. Somebody who
    can write to a node's disk could make the whole chain anew: keep a head (`paasd audit head`) somewhere else.
    """


@audit.command(short_help="The newest event's number and hash.")
@ORGANIZATION
@click.pass_obj
def head(target: Target, org: str | None) -> None:
    """Print NUMBER:HASH of the newest event. Keep it elsewhere; `paasd audit verify --head` compares."""
    click.echo(target.connect().call("GET", "/paasd/v1/audit/head", params=_params(organization=org))["head"])


@audit.command(short_help="Find the first event that was changed or is missing.")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True))
@ORGANIZATION
@click.option("--head", "heads", multiple=True, metavar="NUMBER:HASH", help="A head that was kept; may be repeated.")
@click.pass_obj
def verify(target: Target, file: Path | None, org: str | None, heads: tuple[str, ...]) -> None:
    """Check the events of the platform, or of a FILE that `paasd audit export` wrote, which needs no platform.

    Names the first event that was changed, taken away, put in or moved, and ends with 1 then.

    \b
      paasd audit verify
      paasd audit verify --head 1207:9f2c...
      paasd audit verify events.jsonl
    """
    if file is not None:
        _verify_file(file, heads)
        return
    params = _params(organization=org, heads=",".join(heads) or None)
    found = target.connect().call("GET", "/paasd/v1/audit/verify", params=params, timeout=None)
    render.fields(
        (
            ("chain", found["organization"] or found["chain"]),
            ("events", f"{found['events']}, from number {found['first']}"),
            ("head", found["head"]),
        )
    )
    if found["former"]:
        click.echo(f"{found['former']} events are older than the chain; only their number is checked.")
    _verdict(found["problem"], found.get("unknown", []))


def _verify_file(file: Path, heads: tuple[str, ...]) -> None:
    from paasd.model.auditing.following import Head
    from paasd.model.auditing.lines import check_lines

    kept = []
    for text in heads:
        sequence, colon, hash = text.partition(":")
        if not colon or not sequence.isdecimal():
            raise click.UsageError(f"--head wants NUMBER:HASH, not {text!r}")
        kept.append(Head(sequence=int(sequence), hash=hash))
    with click.open_file(str(file), "rb") as lines:
        found = check_lines(lines, tuple(kept))
    if found.first is not None:
        chain = found.first.organization or found.first.chain
        rows: list[tuple[str, object]] = [("chain", chain), ("events", found.events), ("head", found.head)]
        rows.insert(1, ("after", found.first.after if found.first.after.sequence else "the beginning"))
        render.fields(rows)
    if found.problem is None and not found.whole:
        click.secho("The file has no last line: it was cut off, or is still being written.", fg="yellow")
    _verdict(found.problem, found.unknown)


def _verdict(problem: str | None, unknown: list[int]) -> None:
    for sequence in unknown:
        said = f"Event {sequence} is from before the first one here: nothing is left to compare its --head with."
        click.secho(said, fg="yellow")
    if problem is None:
        click.secho("Every event is there and as it was.", fg="green")
        return
    click.secho(f"problem: {problem}", fg="red")
    sys.exit(1)


@audit.command(short_help="Write the events as JSON lines.")
@ORGANIZATION
@click.option("--since", metavar="TIME", help="Events from then on, such as 2026-01-31T00:00:00Z.")
@click.option("--until", metavar="TIME", help="Events before then.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file; else what is printed.")
@click.pass_obj
def export(
    target: Target, org: str | None, since: str | None, until: str | None, follow: bool, output: Path | None
) -> None:
    """Write the events, oldest first, with the hashes by which `paasd audit verify FILE` checks them anywhere.

    \b
      paasd audit export --since 2026-01-01T00:00:00Z -o events.jsonl
      paasd audit export --org main --follow | your-log-shipper
    """
    params = _params(organization=org, since=since, until=until, follow="1" if follow else None)
    lines = target.connect().stream("GET", "/paasd/v1/audit/events", params=params)
    if output is None:
        _write(lines, sys.stdout.buffer)
    else:
        with output.open("wb") as file:
            _write(lines, file)
    if follow:
        raise click.ClickException(
            "the stream ended, as it does with its token (after 10 minutes of --api), with the right to read it, and"
            " when the daemon stops; go on with --since and the time of the last event"
        )


def _write(lines: Iterator[dict[str, Any]], file: BinaryIO) -> None:
    for line in lines:
        file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode() + b"\n")
        file.flush()


def _params(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
