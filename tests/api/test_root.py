"""Root is the peer of the Unix socket, not a name: nobody becomes it by being called so."""

import msgspec
import pytest

from paasd.auth.tokens import Client
from paasd.model import Organization
from paasd.model.arguments import SYSTEM
from paasd.model.clients import PutClient, put_client
from paasd.model.users import CreateUser, create_user
from tests.api.serving import PASSWORD, Served
from tests.api.sign_in import ask_token

AUTHORIZE = "/oauth/authorize?client_id=ssh-proxy&response_type=code"
DEPLOY_TOKENS = "/paasd/v1/organizations/main/deploy-tokens"


@pytest.mark.parametrize("name", ["root", "Root", "paasd", "system"])
async def test_the_platforms_own_names_are_given_to_nobody(served: Served, name: str) -> None:
    async with await served.admin() as http:
        client = {"client_id": name, "client_secret": PASSWORD, "authorities": ["cloud_controller.read"]}
        refused = await http.post("/oauth/clients", json=client)
        assert refused.status_code == 422
        assert "not built in" in refused.text
        refused = await http.post("/v3/users", json={"guid": name})
        assert refused.status_code == 422
        assert f"The guid '{name}' is the platform's own" in refused.text


async def test_a_client_of_the_name_from_before_is_not_root(served: Served) -> None:
    client = Client(
        client_id="root",
        secret_hash=await served.auth.passwords.hash(PASSWORD),
        grants=("client_credentials",),
        scopes=("cloud_controller.read", "cloud_controller.write"),
        secret_revision="1",
    )
    value = msgspec.json.encode(client).decode()
    stored = PutClient(client_id="root", value=value, scopes=list(client.scopes), actor=SYSTEM)
    await served.context.database.write(put_client, stored)
    asked = await ask_token(served, grant_type="client_credentials", client_id="root", client_secret=PASSWORD)
    async with served.client(asked.json()["access_token"]) as http:
        assert (await http.get(AUTHORIZE)).status_code == 403
        assert (await http.get("/v3/organizations")).json()["resources"] == []


async def test_a_user_of_the_guid_from_before_is_not_root(served: Served) -> None:
    hashed = await served.auth.passwords.hash(PASSWORD)
    made = CreateUser(
        guid="root",
        username="ann",
        password_hash=hashed,
        scopes=["cloud_controller.admin", "cloud_controller.read", "cloud_controller.write"],
        registered=True,
        actor=SYSTEM,
    )
    await served.context.database.write(create_user, made)
    async with served.client((await served.login("ann"))["access_token"]) as http:
        with served.context.database.read() as tx:
            assert tx.exists(Organization, name="main")
        assert (await http.get(AUTHORIZE)).status_code == 403
        assert (await http.post(DEPLOY_TOKENS, json={"name": "ci"})).status_code == 403


async def test_root_itself_has_a_code_and_makes_tokens(served: Served) -> None:
    async with served.root_client() as http:
        assert (await http.get(AUTHORIZE)).status_code == 302
        assert (await http.post(DEPLOY_TOKENS, json={"name": "ci"})).status_code == 201
