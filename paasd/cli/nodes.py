"""Commands about nodes: tokens, joining, members, taking one out."""

import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from paasd.cli import render
from paasd.cli.client import Target
from paasd.cli.durations import Duration

POLL_S = 0.5
INSTALLED = Path("/etc/paasd/paasd.toml")
"""What contrib/install makes, and the unit reads."""


@click.group(short_help="Tokens by which machines join.")
def token() -> None:
    """Tokens by which machines join the platform."""


@token.command("create", short_help="Make a token for new nodes.")
@click.option(
    "--role",
    type=click.Choice(["control", "worker"]),
    default="control",
    show_default=True,
    help="control serves the API and may vote; worker only runs apps and holds no keys.",
)
@click.option("--zone", help="Only a node of this zone may use it; without it the node says its zone itself.")
@click.option("--ttl", "ttl_s", type=Duration(), default="1h", show_default=True, help="Life, such as 30m, 2h or 1d.")
@click.option("--uses", type=click.IntRange(min=1), default=1, show_default=True, help="How many nodes may use it.")
@click.pass_obj
def create_token(target: Target, role: str, zone: str | None, ttl_s: int, uses: int) -> None:
    """Make a token, shown this once. The first one opens this node's ports for others (docs/clouds.md lists them).

    \b
      paasd token create                      one control node, within an hour
      paasd token create --role worker --uses 20 --ttl 1d
    """
    body = {"role": role, "zone": zone, "ttl_s": ttl_s, "uses": uses}
    made = target.connect().call("POST", "/paasd/v1/tokens", json=body)
    until = time.strftime("%H:%M:%S on %d %B", time.localtime(made["expires_at"]))
    click.echo(made["token"])
    times = "once" if uses == 1 else f"{uses} times"
    click.echo(f"It lets {role} nodes join {times}, until {until}. On the new machine:", err=True)
    click.echo("  sudo paasd join TOKEN", err=True)


@token.command("list", short_help="Tokens that were made.")
@click.pass_obj
def list_tokens(target: Target) -> None:
    """List the tokens; their secrets are not kept."""
    found = target.connect().call("GET", "/paasd/v1/tokens")["tokens"]
    now = time.time()
    rows = [
        (
            one["id"],
            one["role"],
            one["zone"] or "any",
            one["uses_left"],
            render.duration(one["expires_at"] - now) if one["expires_at"] > now else "expired",
            one["created_by"],
        )
        for one in found
    ]
    render.table(("id", "role", "zone", "uses left", "expires in", "made by"), rows)


@token.command("delete", short_help="Nobody joins by it any more.")
@click.argument("token_id", metavar="ID")
@click.pass_obj
def delete_token(target: Target, token_id: str) -> None:
    """Delete the token ID, as `paasd token list` shows it."""
    target.connect().call("DELETE", f"/paasd/v1/tokens/{token_id}")
    click.echo(f"Deleted token {token_id}.")


@click.command(short_help="Make this machine a node of a platform that runs.")
@click.argument("token_text", metavar="TOKEN", envvar="PAASD_JOIN_TOKEN")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of the new node.")
@click.option("--serve", "and_serve", is_flag=True, help="Run the daemon in the foreground afterwards.")
@click.pass_context
def join(context: click.Context, token_text: str, config: Path | None, and_serve: bool) -> None:
    """Join the platform that made TOKEN, with this machine's data directory, which must be new.

    The platform's identity is checked before anything of the token is shown to it. A join that is interrupted is
    finished by the same command. Given as PAASD_JOIN_TOKEN the token is not in the list of processes. On a machine with
    an /etc/paasd/paasd.toml, that is its configuration, unless --config, --data or PAASD_DATA says otherwise.

    \b
      sudo paasd join paasd1-control-...
      sudo paasd serve                        or: sudo systemctl enable --now paasd
    """
    from paasd.cli.serve import serve
    from paasd.node import join_platform

    target: Target = context.obj
    assert context.parent is not None
    if context.parent.get_parameter_source("data") is ParameterSource.DEFAULT and INSTALLED.exists():
        config = config or INSTALLED
    member = join_platform(Path(target.data), config, token_text, say=render.progress)
    click.secho(f"Joined as a {member.role} node in zone {member.zone}, reached at {member.address}.", fg="green")
    if and_serve:
        context.invoke(serve, config=config, data=None if config is not None else Path(target.data))
    else:
        node = f"--data {target.data}" if config is None else f"--config {config}"
        unit = "sudo systemctl enable --now paasd, or in the foreground: " if config == INSTALLED else ""
        click.echo(f"Start it: {unit}sudo paasd serve {node}")


@click.command(short_help="The nodes of the platform and how they are.")
@click.pass_obj
def members(target: Target) -> None:
    """List the nodes: where they are, how they are, and what they do.

    \b
      clock        how far theirs is from that of the node that answers; ok is less than 0.25 s
      certificate  how long it is still good for; it is renewed at half of its 24 hours
      index        how many writes they have
    """
    found = target.connect().call("GET", "/paasd/v1/nodes")["nodes"]
    render.table(
        (
            "name",
            "zone",
            "role",
            "state",
            "reached",
            "votes",
            "clock",
            "certificate",
            "index",
            "version",
            "instances",
        ),
        map(_row, found),
    )


def _row(node: dict[str, Any]) -> tuple[object, ...]:
    return (
        node["name"] + (" *" if node["this"] else ""),
        node["zone"],
        node["role"],
        node["state"].lower(),
        node["reachability"],
        node["voting"].lower() or "-",
        _clock(node["clock_offset_s"]),
        _left(node["certificate_ends_at"]),
        node["applied_index"] or "-",
        node["version"],
        node["instances"],
    )


def _clock(offset_s: float | None) -> str:
    if offset_s is None:
        return "-"
    return f"{offset_s:+.1f}s" if offset_s else "ok"


def _left(ends_at: int | None) -> str:
    if ends_at is None:
        return "-"
    left_s = ends_at - time.time()
    return render.duration(left_s) if left_s > 0 else "ended"


@click.group(short_help="Drain a node, or take it out of the platform.")
def node() -> None:
    """What is done to single nodes."""


@node.command("drain", short_help="Move everything of tenants off a node.")
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is empty.")
@click.pass_obj
def drain(target: Target, name: str, no_wait: bool) -> None:
    """Move what tenants run on the node NAME elsewhere: started there first, then stopped here, without a gap.

    Afterwards it can be switched off, or removed with `paasd node remove`; `paasd node undrain` takes it back.
    """
    client = target.connect()
    state = client.call("POST", f"/paasd/v1/nodes/{name}/actions/drain")
    began, told = time.monotonic(), None
    while not no_wait and not state["drained"]:
        if state["state"] != "DRAINING":
            raise click.ClickException(f"{name} is {state['state'].lower()}; somebody else has ended the draining")
        if state["progress"] != told:
            told = state["progress"]
            render.progress(f"{name}: {told}")
        time.sleep(POLL_S)
        state = client.call("GET", f"/paasd/v1/nodes/{name}")
    took = f" ({render.duration(time.monotonic() - began)})" if state["drained"] else ""
    click.echo(f"{name}: {state['progress']}{took}")


@node.command("undrain", short_help="Let a node take apps again.")
@click.argument("name")
@click.pass_obj
def undrain(target: Target, name: str) -> None:
    """End the draining of the node NAME; what has left it stays where it is now."""
    target.connect().call("POST", f"/paasd/v1/nodes/{name}/actions/undrain")
    click.echo(f"{name} takes apps again.")


@node.command("declare-dead", short_help="Replace what a node ran that is off for certain.")
@click.argument("name")
@click.option("--it-is-off", is_flag=True, required=True, help="You know that the machine is off, or cut off for good.")
@click.pass_obj
def declare_dead(target: Target, name: str, it_is_off: bool) -> None:
    """Start elsewhere what ran on the node NAME, without two others having to say that it is dead.

    This is the only way where there are two nodes. A node that is only cut off goes on serving its side; a singleton
    waits until its lease has run out.
    """
    target.connect().call("POST", f"/paasd/v1/nodes/{name}/actions/declare-dead")
    click.echo(f"{name} is dead: what it ran is started elsewhere. When it is back, it joins again by itself.")


@node.command("release-brake", short_help="Replace dead nodes although many died at once.")
@click.pass_obj
def release_brake(target: Target) -> None:
    """End the mass-failure brake: `paasd status` says why it is on.

    It keeps the platform from starting everything anew where it fits nowhere, because of what may be a fault of the
    network. Release it when the nodes that are named are really gone.
    """
    released = target.connect().call("POST", "/paasd/v1/brake/actions/release")["released"]
    click.echo("Released: what ran on the dead nodes is started elsewhere." if released else "The brake is not on.")


@node.command("remove", short_help="Take a node out for good.")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also one that was not drained and is not dead.")
@click.pass_obj
def remove(target: Target, name: str, force: bool) -> None:
    """Remove the node NAME for good: it is cut off at once and cannot come back with its old data.

    It stops what it runs, also when it is off now and starts later, and says so in its own `paasd status`. A control
    node had the platform's keys: if it is in other hands now, change them with `paasd keys change`.
    """
    target.connect().call("DELETE", f"/paasd/v1/nodes/{name}", params={"force": "true"} if force else {})
    click.echo(f"Removed {name}. What it ran is started elsewhere.")


INTRODUCED = ("authority", "domains", "etcd", "gossip", "ssh")
"""Keys that count when everybody has them."""


@click.group(short_help="Change the keys that all nodes share.")
def keys() -> None:
    """The keys that all nodes share. They change while everything runs; no node loses touch and no secret is lost."""


@keys.command("change", short_help="Replace a key by a new one.")
@click.argument("what", type=click.Choice([*INTRODUCED, "root", "data"]))
@click.option("--at-once", is_flag=True, help="ssh only: the key is in other hands, so the new one counts now.")
@click.pass_obj
def change_key(target: Target, what: str, at_once: bool) -> None:
    """Replace one of the keys.

    \b
      authority   signs the nodes' certificates; old join tokens end with it
      domains     signs what clients see; they have half a year to take ca.pem anew
      etcd        signs what the voters' etcd shows; each restarts, one at a time
      gossip      seals the datagrams between nodes
      ssh         is the host key that ssh clients are shown, announced for two weeks before it counts
      root        opens the data keys; back-ups made before need the former one
      data        seals secrets from now on; what was sealed before stays as it is

    The first five go on by themselves, step by step: `paasd keys status` says how far they are. The first three also
    begin by themselves, a year before an authority ends. With ssh --at-once, clients that know the former host key
    refuse to connect until they are given the new one; the `cf` client and `paasd ssh` go on.
    """
    params = {"at_once": "true"} if at_once else {}
    made = target.connect().call("POST", f"/paasd/v1/keys/{what}/actions/change", params=params)["id"]
    introduced = what in INTRODUCED and not at_once
    click.echo(f"{what}: {made} " + ("is being introduced." if introduced else "counts now."))


@keys.command("status", short_help="How far changes are.")
@click.pass_obj
def key_status(target: Target) -> None:
    """Say what changes are under way and whom they wait for, and what host keys ssh clients may be shown."""
    answer = target.connect().call("GET", "/paasd/v1/keys")
    for line in answer["changes"] or ["No change is under way."]:
        click.echo(line)
    for key in answer["ssh_host_keys"]:
        click.echo(f"ssh host key SHA256:{key['fingerprint']} " + ("is shown." if key["shown"] else "is announced."))
