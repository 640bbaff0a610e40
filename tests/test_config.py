"""The configuration file: what is read, what is refused and how, and that its documentation holds."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from paasd.cli.configuration import default_toml
from paasd.config import Config, load_config
from paasd.errors import ConfigError

DOCUMENT = Path(__file__).parent.parent / "docs" / "config.toml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "paasd.toml"
    path.write_text(text)
    return path


def test_no_file_gives_the_defaults() -> None:
    assert load_config(None) == Config()


def test_a_knob_in_the_file_is_used(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "[router]\nhttp_port = 8080\n")).router.http_port == 8080


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[router]\nhtp_port = 80\n", "htp_port"),
        ("[router]\nhttp_port = 'eighty'\n", "$.router.http_port"),
        ("[router]\nhttp_port = 700000\n", "$.router.http_port"),
        ("[gossip2]\n", "gossip2"),
        ("[router\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert expected in refused.value.detail
    assert str(path) in refused.value.detail


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load_config(tmp_path / "absent.toml")


def test_the_documented_defaults_are_the_real_ones() -> None:
    text = default_toml()
    assert msgspec.convert(tomllib.loads(text), Config) == Config()


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == default_toml(), "run `paasd config > docs/config.toml`"


def test_every_knob_says_what_it_means() -> None:
    lines = default_toml().splitlines()
    knobs = [number for number, line in enumerate(lines) if "=" in line and not line.startswith(("# ", "["))]
    assert len(knobs) > 50
    silent = [lines[number] for number in knobs if not lines[number - 1].startswith("# ")]
    assert silent == [], "these have no description in paasd/config/"
