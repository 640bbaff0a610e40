"""`paasd push`: pack a folder, send it in one call, show how it goes."""

import gzip
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import click

from paasd.buildpacks.ignore import Ignore
from paasd.cli import render
from paasd.cli.client import Target

METER_FROM_BYTES = 4 * 1024 * 1024
"""Smaller uploads are over before a meter could be read."""


@click.command(short_help="Push source code; get a URL.")
@click.argument("name", required=False)
@click.argument("source", type=click.Path(exists=True, path_type=Path), default=".")
@click.option("-f", "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its settings.")
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
@click.pass_obj
def push(target: Target, name: str | None, source: Path, manifest: Path | None, quiet: bool) -> None:
    """Push SOURCE (a folder, .zip or .tar.gz; default: here) as the app NAME.

    A manifest.yml in the folder counts, and gives the NAME if it is left out. What .cfignore names stays at home.
    The language is found out by what is there: requirements.txt, pyproject.toml, package.json, Staticfile, Procfile.

    \b
      paasd push hello examples/flask-app
      paasd push                            here, with manifest.yml
      paasd push hello build/hello.zip
    """
    if name is not None and "/" in name:
        raise click.UsageError(f"an app's name has no '/'; did you mean: paasd push {Path(name).name} {name}")
    manifest = manifest or _manifest_of(source)
    if name is None and manifest is None:
        raise click.UsageError("give the app's NAME (paasd push NAME FOLDER), or a manifest.yml that has it")
    client = target.connect()
    try:
        text = manifest.read_bytes() if manifest is not None else None
        package = _package(source, quiet=quiet)
    except OSError as error:
        raise click.ClickException(_unreadable(error)) from error
    with package:
        files: dict[str, Any] = {"bits": ("bits", package, "application/octet-stream")}
        if text is not None:
            files["manifest"] = ("manifest.yml", text, "application/x-yaml")
        params = {"wait": "true", **({"name": name} if name else {})}
        result = None
        try:
            for event in client.stream("POST", target.space_path + "/push", params=params, files=files):
                if event["type"] in ("result", "error"):
                    result = event
                elif not quiet:
                    render.push_event(event)
        except KeyboardInterrupt:
            click.echo(
                f"\nA push that was received goes on without you; `paasd app {name or 'NAME'}` shows it.", err=True
            )
            raise click.exceptions.Exit(130) from None
    _report(result, name)


def _report(result: dict[str, Any] | None, name: str | None) -> None:
    if result is None:
        raise click.ClickException(
            f"the connection ended before the push did; `paasd app {name or 'NAME'}` shows how it went"
        )
    if result["type"] == "error":
        raise click.ClickException(f"push failed at {result['step']}: {result['detail']} ({result['title']})")
    instances = result["instances"]
    click.secho(f"{result['app']['name']} is up: {instances['running']} of {instances['total']} running", fg="green")
    for url in result["urls"]:
        click.echo(f"  {url}")
    render.waterfall(result["waterfall"])


def _manifest_of(source: Path) -> Path | None:
    for name in ("manifest.yml", "manifest.yaml"):
        if source.is_dir() and (source / name).is_file():
            return source / name
    return None


def _unreadable(error: OSError) -> str:
    fix = "; make it readable, or name it in .cfignore" if isinstance(error, PermissionError) else ""
    return f"cannot read {error.filename or 'the source'}: {error.strerror or error}{fix}"


def _package(source: Path, *, quiet: bool) -> BinaryIO:
    """The bits to upload: an archive as it is, a folder as a tar.gz in a temporary file."""
    if source.is_file():
        bits: BinaryIO = source.open("rb")
        label = source.name
    else:
        bits, count = _packed(source)
        if count == 0:
            bits.close()
            raise click.ClickException(f"there is nothing to push in {source.resolve()} (.cfignore counts)")
        label = f"{count} {'file' if count == 1 else 'files'} of {source.resolve()}"
    size = bits.seek(0, io.SEEK_END)
    bits.seek(0)
    if quiet:
        return bits
    render.progress(f"sending {label}, {render.size(size)}")
    metered = size >= METER_FROM_BYTES and sys.stderr.isatty()
    return cast(BinaryIO, _Metered(bits, size)) if metered else bits


def _packed(source: Path) -> tuple[BinaryIO, int]:
    ignore = Ignore.of_directory(source)
    spool = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    count = 0
    # Level 1 is quick. Files keep their times, which web servers tell of them; the archive has none of its own.
    with (
        gzip.GzipFile(fileobj=spool, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in _files(source, source, ignore):
            info = archive.gettarinfo(path, str(path.relative_to(source)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = int(info.mtime)
            if info.isreg():
                with path.open("rb") as content:
                    archive.addfile(info, content)
            else:
                archive.addfile(info)
            count += not info.isdir()
    return spool, count


def _files(folder: Path, root: Path, ignore: Ignore) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        directory = path.is_dir() and not path.is_symlink()
        if ignore.matches(str(path.relative_to(root)), is_directory=directory):
            continue
        if path.is_symlink() or path.is_file() or directory:
            yield path
        if directory:
            yield from _files(path, root, ignore)


class _Metered:
    """A file that says on a terminal how much of it was read."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._bar = click.progressbar(length=size_bytes, label="   upload", file=sys.stderr)

    def read(self, count_bytes: int = -1) -> bytes:
        data = self._file.read(count_bytes)
        self._bar.update(len(data))
        if not data:
            self._bar.render_finish()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Metered":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
