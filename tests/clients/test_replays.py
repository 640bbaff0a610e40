"""The `cf` CLI's calls for each command that has to do with tenants, replayed with the texts that it goes by."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from paasd.config import Config, RouterConfig
from tests.api.hands import tar_of, working_hands
from tests.api.serving import API, CHEAP_HASHES, Served, serve
from tests.clients.replay import Replay, Step, commands, steps

REPLAYS = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "replays").glob("*.txt"))}
COMMANDS = """
create-org orgs org rename-org delete-org create-space spaces space rename-space delete-space
create-user delete-user set-org-role unset-org-role set-space-role unset-space-role org-users space-users
create-org-quota update-org-quota org-quotas org-quota set-org-quota delete-org-quota
create-space-quota update-space-quota space-quotas space-quota set-space-quota unset-space-quota delete-space-quota
router-groups domains create-shared-domain create-private-domain delete-shared-domain delete-private-domain
share-private-domain unshare-private-domain update-destination share-route unshare-route move-route
routes route create-route check-route map-route unmap-route update-route delete-route delete-orphaned-routes
security-groups security-group create-security-group update-security-group delete-security-group bind-security-group
unbind-security-group bind-running-security-group unbind-running-security-group running-security-groups
bind-staging-security-group unbind-staging-security-group staging-security-groups
network-policies add-network-policy remove-network-policy
feature-flags feature-flag enable-feature-flag disable-feature-flag
buildpacks create-buildpack update-buildpack delete-buildpack stacks stack
running-environment-variable-group set-running-environment-variable-group
staging-environment-variable-group set-staging-environment-variable-group
isolation-segments create-isolation-segment delete-isolation-segment enable-org-isolation
set-org-default-isolation-segment reset-org-default-isolation-segment set-space-isolation-segment
reset-space-isolation-segment
run-task tasks task terminate-task events revisions revision rollback labels set-label unset-label
enable-ssh disable-ssh ssh-enabled allow-space-ssh disallow-space-ssh space-ssh-allowed
rename delete restart-app-instance
"""


@asynccontextmanager
async def open_replay(directory: Path) -> AsyncIterator[tuple[Served, Replay]]:
    """With the app `dora` pushed into the space `dev` of `main`."""
    config = Config(api=API, auth=CHEAP_HASHES, router=RouterConfig(tcp_ports="20000-20009"))
    async with serve(directory, config) as served, working_hands(served.context), await served.admin() as admin:
        params, source = {"name": "dora", "wait": "true"}, tar_of({"Procfile": b"web: run"})
        await admin.post("/paasd/v1/spaces/main/dev/push", params=params, content=source)
        dora = (await admin.get("/v3/apps?names=dora")).json()["resources"][0]
        space = (await admin.get("/v3/spaces?names=dev")).json()["resources"][0]
        main = space["relationships"]["organization"]["data"]["guid"]
        yield served, Replay({"admin": admin}, dora=dora["guid"], dev=space["guid"], main=main)


@pytest.mark.parametrize("name", REPLAYS)
async def test_the_cli_hears_what_it_needs(tmp_path: Path, name: str) -> None:
    async with open_replay(tmp_path) as (served, replay):
        for step in steps(name, REPLAYS[name]):
            if step.caller not in replay.clients:
                replay.clients[step.caller] = served.client((await served.login(step.caller))["access_token"])
            await replay.play(step)
        for http in replay.clients.values():
            await http.aclose()


def test_every_command_of_tenants_is_replayed() -> None:
    assert set(COMMANDS.split()) - {one for text in REPLAYS.values() for one in commands(text)} == set()


async def test_a_replay_sees_what_is_not_as_it_says(tmp_path: Path) -> None:
    wrong = {
        "GET /v3/spaces/$dev": ["201", '200 {"name": "prod"}', '200 {"colour": "..."}', '200 {"guid": "$main"}'],
        "GET /v3/spaces": ['200 {"resources": []}', '200 {"resources": [{"name": "dev"}, {"name": "prod"}, "..."]}'],
        "GET /v3/spaces/none": ["404 App not found"],
    }
    async with open_replay(tmp_path) as (_, replay):
        for call, answers in wrong.items():
            for answer in answers:
                (step,) = steps("wrong", f"== cf space\n{call}\n{answer}\n")
                with pytest.raises(AssertionError, match="wrong: cf space"):
                    await replay.play(step)
    with pytest.raises(ValueError, match="is no part of a replay"):
        list[Step](steps("wrong", "GETT /v3/spaces"))
