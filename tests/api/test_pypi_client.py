"""An independent client that knows nothing of paasd: `cloudfoundry-client` from PyPI."""

from typing import Any

import pytest
import trio
from cloudfoundry_client.client import CloudFoundryClient
from cloudfoundry_client.errors import InvalidStatusCode

from tests.api.serving import PASSWORD, Served


def sign_in(url: str, username: str = "admin") -> Any:
    client = CloudFoundryClient(url, proxy={"http": "", "https": ""})
    client.init_with_user_credentials(username, PASSWORD)
    return client


def work_through(url: str) -> None:
    """Everything here blocks, so it runs in a thread."""
    v3 = sign_in(url).v3
    organization = v3.organizations.create("acme", suspended=False)
    space = v3.spaces.create("prod", organization["guid"])
    assert v3.spaces.get_first(names="prod", organization_guids=organization["guid"])["guid"] == space["guid"]
    assert space.organization()["name"] == "acme"
    included = list(v3.spaces.list(include="organization"))
    assert {one.organization()["name"] for one in included} == {"main", "acme"}
    with pytest.raises(InvalidStatusCode) as caught:
        v3.spaces.create("prod", organization["guid"])
    assert caught.value.status_code == 422
    assert len(list(v3.organizations.list(per_page=1))) == 2
    job = v3.organizations.remove(organization["guid"])
    assert job is None or job


async def test_the_pypi_client_lists_makes_and_removes(served: Served) -> None:
    await trio.to_thread.run_sync(work_through, served.doors.url)


def deploys(url: str, client_id: str, secret: str) -> None:
    client = CloudFoundryClient(url, proxy={"http": "", "https": ""}, client_id=client_id, client_secret=secret)
    client.init_with_client_credentials()
    assert [one["name"] for one in client.v3.spaces.list()] == ["dev"]
    with pytest.raises(InvalidStatusCode) as caught:
        client.v3.organizations.create("mine", suspended=False)
    assert caught.value.status_code == 403


async def test_the_pypi_client_signs_in_with_a_deploy_token(served: Served) -> None:
    async with served.root_client() as http:
        made = (await http.post("/paasd/v1/spaces/main/dev/deploy-tokens", json={"name": "ci"})).json()
    await trio.to_thread.run_sync(deploys, served.doors.url, made["client_id"], made["client_secret"])


def refused(url: str) -> None:
    client = sign_in(url, "plain")
    with pytest.raises(InvalidStatusCode) as caught:
        client.v3.organizations.create("mine", suspended=False)
    assert caught.value.status_code == 403
    assert list(client.v3.organizations.list()) == []


async def test_the_pypi_client_sees_its_limits(served: Served) -> None:
    await served.make_user("plain")
    await trio.to_thread.run_sync(refused, served.doors.url)


def refreshes(url: str, move_on: Any) -> None:
    client = sign_in(url)
    assert list(client.v3.organizations.list())
    move_on()
    # The client refreshes only when it meets code 1000 with CF-InvalidAuthToken.
    assert list(client.v3.organizations.list())


async def test_the_pypi_client_refreshes_its_token(served: Served) -> None:
    def move_on() -> None:
        served.clock.ahead_s = 700

    await trio.to_thread.run_sync(refreshes, served.doors.url, move_on)
