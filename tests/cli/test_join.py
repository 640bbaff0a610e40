"""Which configuration `paasd join` takes when none is named."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from paasd.cli import nodes
from paasd.cli.main import main
from paasd.membership.tokens import new_token


def test_join_reads_the_installed_file_unless_another_node_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, other = tmp_path / "installed", tmp_path / "other"
    for directory in (installed, other):
        directory.mkdir()
        (directory / "state.db").touch()
    file = tmp_path / "paasd.toml"
    monkeypatch.setattr(nodes, "INSTALLED", file)
    monkeypatch.delenv("PAASD_DATA", raising=False)
    token = new_token("worker", "0" * 64, (("192.0.2.1", 1),)).text()

    def said(*words: str, **env: str) -> str:
        return CliRunner().invoke(main, words, env=env).output

    file.write_text(f'data = "{installed}"\n')
    assert f"{installed} belongs to a node of its own" in said("join", token)
    assert f"{other} belongs to a node of its own" in said("--data", str(other), "join", token)
    assert f"{other} belongs to a node of its own" in said("join", token, PAASD_DATA=str(other))
    named = tmp_path / "named.toml"
    named.write_text(f'data = "{other}"\n')
    assert f"{other} belongs to a node of its own" in said("join", token, "--config", str(named))
    file.write_text("[nodes]\n")
    assert "unknown field `nodes`" in said("join", token)
