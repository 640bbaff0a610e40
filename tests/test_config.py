"""The configuration file: what is read, what is refused and how, and that its documentation holds."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from paasd.cli.configuration import default_toml
from paasd.config import ApiConfig, Config, RouterConfig, load_config
from paasd.config.ports import Ranges, check_ports, in_words, port_ranges
from paasd.errors import ConfigError
from paasd.node.ports import check_tcp_ports

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


EPHEMERAL = (32768, 60999)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", ()),
        ("20000", ((20000, 20000),)),
        (" 20010-20019 , 20000-20009 ", ((20000, 20009), (20010, 20019))),
        ("61000-65535", ((61000, 65535),)),
    ],
)
def test_ports_are_set_aside_as_people_write_them(text: str, ranges: Ranges) -> None:
    assert port_ranges(text) == ranges
    check_ports(Config(router=RouterConfig(tcp_ports=text)), EPHEMERAL, ())
    assert port_ranges(in_words(ranges)) == ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20000-", "neither a port nor a range"),
        ("a", "neither a port nor a range"),
        ("20000-19999", "lowest first"),
        ("1023", "not within 1024"),
        ("65536", "not within 1024"),
        ("20000-20005,20005", "20005 is named twice"),
        ("20000-30000", "at most 10000"),
        ("7000-8000", "7480, which is [api] port: leave it out"),
        ("2222", "2222, which is [ssh] port"),
        ("7401-7410", "7401, which is [cluster] tunnel_port"),
        ("32000-33000", "32768-33000 to outgoing connections"),
        ("40000,60000-61000", "40000-40000 to outgoing connections"),
    ],
)
def test_ports_that_something_else_may_take_are_refused_with_what_to_do(text: str, expected: str) -> None:
    config = Config(router=RouterConfig(tcp_ports=text), api=ApiConfig(port=7480))
    with pytest.raises(ConfigError) as refused:
        check_ports(config, EPHEMERAL, ((50000, 50099),))
    assert expected in refused.value.detail
    assert "[router] tcp_ports" in refused.value.detail


def test_ports_that_the_kernel_keeps_back_may_be_set_aside(tmp_path: Path) -> None:
    (tmp_path / "ip_local_port_range").write_text("32768\t60999\n")
    (tmp_path / "ip_local_reserved_ports").write_text("50000-50099,50200\n")
    for text in ("50000-50099", "50010,50200"):
        check_tcp_ports(Config(router=RouterConfig(tcp_ports=text)), tmp_path)
    with pytest.raises(ConfigError, match="ip_local_reserved_ports"):
        check_tcp_ports(Config(router=RouterConfig(tcp_ports="50000-50100")), tmp_path)
