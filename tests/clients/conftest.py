import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.node.harness import Driver, running_node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Driver]:
    async with running_node(tmp_path / "data") as found:
        yield found


@pytest.fixture
def localhost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names below .localhost lead to this machine, as they do where the resolver follows RFC 6761."""
    ask = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **options: Any) -> Any:
        return ask("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
