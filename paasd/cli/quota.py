"""What a space uses of what it may use."""

from typing import Any

import click

from paasd.cli import render
from paasd.cli.client import Target

MB = 1024 * 1024


@click.command(short_help="What the space uses, and its limits.")
@click.pass_obj
def quota(target: Target) -> None:
    """Show what the apps of the space and of its organization use, beside what their quotas allow.

    A write that would go beyond a limit is refused; what runs already goes on. Administrators set the limits of an
    organization, its managers those of spaces in it:

    \b
      cf create-org-quota small -m 8G -r 100 && cf set-quota ORG small
      cf create-space-quota half -m 4G && cf set-space-quota SPACE half
    """
    found = target.connect().call("GET", f"{target.space_path}/quota")
    space, organization = found["space"], found["organization"]
    rows = []
    for name in space["counted"]:
        mine, all_of_it = space["counted"][name], organization["counted"][name]
        rows.append((name.split("_in_")[0].replace("_", " "), _of(name, mine), _of(name, all_of_it)))
    titles = [f"{kind} {one['name']} ({one['quota'] or 'no quota'})" for kind, one in _kinds(space, organization)]
    render.table(["", *titles], rows)
    for kind, one in _kinds(space, organization):
        for name, limit in one["limits_per_instance"].items():
            if limit is not None:
                click.echo(f"One instance in this {kind} may have {_size(name, limit)} of {name.split('_')[0]}.")


def _kinds(space: dict[str, Any], organization: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    return ("space", space), ("organization", organization)


def _of(name: str, counted: dict[str, int | None]) -> str:
    limit = counted["limit"]
    used = _size(name, counted["used"] or 0)
    return used if limit is None else f"{used} of {_size(name, limit)}"


def _size(name: str, value: int) -> str:
    if name.endswith("_in_mb"):
        return render.size(value * MB)
    return f"{render.size(value)}/s" if name.endswith("_per_second") else str(value)
