"""Where the commands say that an app answers."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from paasd.cli.client import Client
from paasd.cli.urls import Urls

ROUTES = [
    {"protocol": "http", "url": "dora.apps.localhost/shop"},
    {"protocol": "tcp", "url": "tcp.localhost:20001"},
]


@pytest.mark.parametrize(("port", "shown"), [(443, ""), (18443, ":18443")])
def test_routes_of_http_have_the_platforms_port_and_those_of_tcp_their_own(port: int, shown: str) -> None:
    answers: Any = SimpleNamespace(call=lambda method, path: {"https_port": port})
    assert Urls(cast(Client, answers)).of(ROUTES) == [
        f"https://dora.apps.localhost{shown}/shop",
        "tcp://tcp.localhost:20001",
    ]
