"""Commands for when nodes are lost: a backup, a platform made from one, and going on without a quorum."""

import os
import time
from pathlib import Path

import click

from paasd.cli import render
from paasd.cli.client import Target

PASSPHRASE = click.option(
    "--passphrase",
    metavar="TEXT",
    envvar="PAASD_PASSPHRASE",
    help="Better given as PAASD_PASSPHRASE; without it you are asked.",
)
CONFIG = click.option("--config", type=click.Path(path_type=Path), help="Configuration file of the node.")


@click.command(short_help="Write the platform's state into one file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@PASSPHRASE
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
@click.pass_obj
def backup(target: Target, file: Path, passphrase: str | None, force: bool) -> None:
    """Write everything that the platform knows, keys included, into FILE, which opens with the passphrase only.

    Packages, droplets and logs are not in it (docs/recovery.md). Of a daemon that runs, or of a data directory whose
    daemon does not; on any control node. The file is read again and verified before it gets its name.

    \b
      sudo paasd backup /mnt/elsewhere/paasd.backup
    """
    from paasd.node import backup_stopped, daemon_pid
    from paasd.state.backups import check_passphrase, unpack_backup

    if file.exists() and not force:
        raise click.UsageError(f"{file} exists; name another, or replace it with --force")
    passphrase = _asked(passphrase, confirm=True)
    check_passphrase(passphrase)
    part = file.with_name(file.name + ".part")
    try:
        with open(part, "wb", opener=_private) as output:
            if target.api is not None or daemon_pid(Path(target.data)) is not None:
                target.connect().download("POST", "/paasd/v1/backup", output, json={"passphrase": passphrase})
            else:
                for piece in backup_stopped(Path(target.data), passphrase):
                    output.write(piece)
            output.flush()
            os.fsync(output.fileno())
        head, _ = unpack_backup(part, passphrase, None)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    size_mb = file.stat().st_size / 1e6
    click.secho(f"{file} holds everything up to entry {head.manifest.position} ({size_mb:.1f} MB).", fg="green")
    click.echo("Keep the passphrase somewhere else: without it the file is of no use to anybody.")


@click.command(short_help="Make a new node, and platform, from a backup.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@PASSPHRASE
@CONFIG
@click.pass_obj
def restore(target: Target, file: Path, passphrase: str | None, config: Path | None) -> None:
    """Make a new data directory from FILE: this machine becomes the first node of a new cluster.

    Nodes of the former cluster cannot join by what they have; switch them off, and join them as new ones. Apps start
    here as soon as their droplets are found (docs/recovery.md).

    \b
      sudo paasd restore paasd.backup
      sudo paasd serve
    """
    from paasd.node import configured, restore_node

    settings = configured(Path(target.data), config)
    head = restore_node(settings, file, _asked(passphrase, confirm=False), render.progress)
    at = time.strftime("%H:%M:%S on %d %B %Y", time.localtime(head.manifest.taken_at_s))
    click.secho(f"{settings.data} holds the state of {at}, entry {head.manifest.position}.", fg="green")
    click.echo("Start it: sudo systemctl enable --now paasd, or in the foreground: paasd serve")


@click.command(short_help="Go on without the other nodes when most are lost.")
@CONFIG
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def recover(target: Target, config: Path | None, yes: bool) -> None:
    """Make this node decide alone, when so many voters are lost for good that the platform takes no writes.

    The daemon must not run here. What other nodes acknowledged and this one never got is lost; nodes that voted have to
    join anew. So it asks the others first, and refuses while they agree without this one or if one of them has more.

    \b
      sudo paasd stop
      sudo paasd recover
      sudo paasd serve
    """
    from paasd.node import configured, recover_node

    def agreed(text: str) -> bool:
        click.echo(text)
        return yes or click.confirm("Go on without them?", default=False)

    recovered = recover_node(configured(Path(target.data), config), agreed, render.progress)
    if recovered is None:
        raise click.Abort
    click.secho("This node decides alone now. Start it: sudo systemctl start paasd, or paasd serve", fg="green")
    if recovered.removed:
        names = ", ".join(recovered.removed)
        click.echo(f"Switch off for good, or join anew with an empty data directory: {names}")
    if recovered.dead:
        click.echo(f"These may come back as they are: {', '.join(recovered.dead)}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _asked(passphrase: str | None, *, confirm: bool) -> str:
    if passphrase is not None:
        return passphrase
    text: str = click.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=confirm)
    return text
