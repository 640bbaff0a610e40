"""`paasd config`: the documented default configuration, made from the descriptions in `paasd/config/`."""

import textwrap
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from msgspec import inspect

from paasd.config import Config

BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
INTRODUCTION = """\
Every knob of a node with its default. Give a file with the ones to change to `paasd serve --config FILE`;
unknown keys are refused by path."""


@click.command("config", short_help="Print every knob with its default.")
def config() -> None:
    """Print every knob with its meaning, range and default, as TOML."""
    click.echo(default_toml(), nl=False)


def default_toml() -> str:
    """The text of `paasd config`, which docs/config.toml holds too."""
    lines = [f"# {line}" for line in INTRODUCTION.splitlines()]
    top = inspect.type_info(Config)
    assert isinstance(top, inspect.StructType)
    for field in top.fields:
        if not isinstance(field.type, inspect.StructType):
            lines += _knob(field)
    for field in top.fields:
        if isinstance(field.type, inspect.StructType):
            summary = (field.type.cls.__doc__ or "").partition(": ")[2].strip().capitalize()
            lines += ["", f"[{field.name}]", *_comment(summary)]
            for inner in field.type.fields:
                lines += _knob(inner)
    return "\n".join(lines) + "\n"


def _knob(field: inspect.Field) -> Iterator[str]:
    kind: Any = field.type
    description = ""
    if isinstance(kind, inspect.Metadata):
        description = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    limits = ", ".join(
        f"{sign} {getattr(kind, name)}" for name, sign in BOUNDS if getattr(kind, name, None) is not None
    )
    yield ""
    yield from _comment(description + (f" ({limits})" if limits else ""))
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    yield f"# {field.name} =" if default is None else f"{field.name} = {_toml(default)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 110, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    # JSON writes strings, numbers and booleans as TOML does.
    return msgspec.json.encode(value).decode()
