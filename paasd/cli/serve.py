"""`paasd serve`: run the daemon in the foreground."""

import gc
from pathlib import Path

import click
from click.core import ParameterSource

from paasd.cli.client import Target


@click.command(short_help="Run a node in the foreground.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file; docs/config.toml lists every knob.")
@click.option("--data", type=click.Path(path_type=Path), help="Data directory, over the one in the file.")
@click.pass_context
def serve(context: click.Context, config: Path | None, data: Path | None) -> None:
    """Run a node in the foreground.

    The first start makes the data directory, a certificate authority, certificates for the domains, and the admin
    account, whose password is shown once and kept in DATA/admin-password. Stopping the daemon leaves apps running; the
    next start takes them over. `paasd stop --all` ends them.
    """
    # Imported here, so that the client commands start in a tenth of the time. What is imported stays for good: looking
    # for garbage in it takes a sixth of the imports' time, and a tenth of a second in each full collection later.
    gc.disable()
    import msgspec

    from paasd.config import load_config
    from paasd.node import run_node

    gc.freeze()
    gc.enable()
    settings = load_config(config)
    data = data or _named_before(context, config)
    if data is not None:
        settings = msgspec.structs.replace(settings, data=str(data))
    run_node(settings)


def _named_before(context: click.Context, config: Path | None) -> Path | None:
    """`paasd --data DIR serve` means DIR; PAASD_DATA, meant for all commands, yields to a configuration file."""
    assert context.parent is not None
    source = context.parent.get_parameter_source("data")
    meant = source is ParameterSource.COMMANDLINE or (source is ParameterSource.ENVIRONMENT and config is None)
    return Path(context.find_object(Target).data) if meant else None  # type: ignore[union-attr]
