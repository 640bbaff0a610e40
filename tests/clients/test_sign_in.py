"""Ways in as people and pipelines use them on a whole node: through Envoy, over HTTPS, under the names of the doors."""

import os
import re
import ssl
from pathlib import Path

import httpx
import pytest
import trio

from paasd.config import AuthConfig, OidcConfig
from tests.api.test_oidc import running_provider
from tests.api.test_passcodes import CODE
from tests.cli.typing_hands import paasd
from tests.clients.cf import Cf
from tests.node.harness import HELLO, Driver, running_node

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("localhost_names")]

DEPLOY = Path(__file__).parents[2] / "examples" / "ci" / "deploy.sh"


async def test_a_browser_at_another_provider_a_client_and_a_pipeline(tmp_path: Path) -> None:
    with running_provider() as port:
        (tmp_path / "secret").write_text("s3cret")
        corp = OidcConfig(
            issuer=f"http://localhost:{port}", client_id="paasd", client_secret_file=str(tmp_path / "secret")
        )
        async with running_node(tmp_path / "data", auth=AuthConfig(oidc={"corp": corp})) as node:
            cf = Cf(node.node.url("api"), str(node.node.certificates.authority_path))
            async with cf.http:
                await cf.api()
                await sign_in_by_browser(cf, str(node.node.certificates.authority_path))
                assert await cf.list("/v3/organizations") == []
                await deploy(cf, node, tmp_path)


async def sign_in_by_browser(cf: Cf, ca: str) -> None:
    """`cf login --sso`, with the code from the page that the prompt names."""
    prompt = (await cf.get(cf.links["login"]["href"] + "/login"))["prompts"]["passcode"][1]
    where = re.search(r"https://\S+/passcode", prompt)
    assert where is not None
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca), timeout=20) as browser:
        page = await browser.get(where[0])
        button = re.search(r'class="button" href="([^"]+)"', page.text)
        assert button is not None, page.text
        sent = await browser.get(cf.links["login"]["href"] + button[1])
        back = await browser.post(sent.headers["Location"], data={"sub": "s-1"})
        assert back.headers["Location"].startswith(cf.links["login"]["href"])
        shown = await browser.get(back.headers["Location"])
    code = CODE.search(shown.text)
    assert code is not None, shown.text
    data = {"grant_type": "password", "passcode": code[1]}
    answer = await cf.call(
        "POST", cf.links["login"]["href"] + "/oauth/token", data=data, headers=form(), auth=("cf", "")
    )
    cf.http.headers["Authorization"] = f"bearer {answer.json()['access_token']}"


def form() -> dict[str, str]:
    return {"Content-Type": "application/x-www-form-urlencoded"}


async def deploy(cf: Cf, node: Driver, folder: Path) -> None:
    """A token made by root on the node, the example that deploys with it, and `cf auth --client-credentials`."""
    made = await paasd("deploy-token", "create", "ci", PAASD_DATA=str(node.node.directory))
    assert made.code == 0, made
    token = made.out.strip()
    app = folder / "app"
    app.mkdir()
    for name, text in HELLO.items():
        (app / name).write_text(str(text))
    environment = {
        "PATH": os.environ["PATH"],
        "PAASD_API": cf.url,
        "PAASD_CA": str(node.node.certificates.authority_path),
        "PAASD_DEPLOY_TOKEN": token,
        "PAASD_SPACE": "main/dev",
    }
    with trio.fail_after(120):
        done = await trio.run_process([DEPLOY, "hello", app], env=environment, capture_stdout=True)
    assert done.stdout.decode().splitlines()[-1].startswith("OK hello: 1 of 1"), done
    assert (await node.get("hello.apps.localhost")).status_code == 200
    client_id, _, secret = token.partition(".")
    data = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer: httpx.Response = await cf.call(
        "POST", cf.links["login"]["href"] + "/oauth/token", data=data, headers={**form(), "Authorization": ""}
    )
    cf.http.headers["Authorization"] = f"bearer {answer.json()['access_token']}"
    assert [one["name"] for one in await cf.list("/v3/apps")] == ["hello"]
