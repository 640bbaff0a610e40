"""Arguments of the operations on what people and machines sign in with."""

from typing import Any

import msgspec

from paasd.model import (
    clients,
    deploy_tokens,
    identities,
    passcodes,
    second_factors,
    ssh,
)
from paasd.model.arguments import SYSTEM
from tests.model.cases.register import case
from tests.model.seeding import Seed

NOW_S = 4_000_000_000


async def _deploy_token(seed: Seed) -> deploy_tokens.CreateDeployToken:
    organization, space, _ = await seed.place()
    return deploy_tokens.CreateDeployToken(
        guid="token-guid-1",
        name="ci",
        secret_hash="h",
        role="space_developer",
        organization_guid=organization.guid,
        space_guid=space.guid,
        expires_at=NOW_S,
        actor=msgspec.structs.replace(SYSTEM, guid="root"),
    )


@case(deploy_tokens.create_deploy_token)
async def _(seed: Seed) -> Any:
    return await _deploy_token(seed)


@case(deploy_tokens.revoke_deploy_token)
async def _(seed: Seed) -> Any:
    made = await seed.database.write(deploy_tokens.create_deploy_token, await _deploy_token(seed))
    return deploy_tokens.RevokeDeployToken(guid=made.guid, actor=SYSTEM)


@case(deploy_tokens.note_deploy_token_use)
async def _(seed: Seed) -> Any:
    made = await seed.database.write(deploy_tokens.create_deploy_token, await _deploy_token(seed))
    return deploy_tokens.NoteDeployTokenUse(guid=made.guid, day="2026-01-31")


async def _enrolled(seed: Seed) -> second_factors.EnrolFactor:
    return second_factors.EnrolFactor(user_guid=(await seed.user()).guid, sealed_secret="sealed", actor=SYSTEM)


async def _confirmed(seed: Seed) -> second_factors.ConfirmFactor:
    enrolled = await _enrolled(seed)
    await seed.database.write(second_factors.enrol_factor, enrolled)
    return second_factors.ConfirmFactor(
        user_guid=enrolled.user_guid, sealed_secret="sealed", step=7, recovery_hashes=["a", "b"], actor=SYSTEM
    )


async def _with_factor(seed: Seed) -> str:
    confirmed = await _confirmed(seed)
    await seed.database.write(second_factors.confirm_factor, confirmed)
    return confirmed.user_guid


@case(second_factors.enrol_factor)
async def _(seed: Seed) -> Any:
    return await _enrolled(seed)


@case(second_factors.confirm_factor)
async def _(seed: Seed) -> Any:
    return await _confirmed(seed)


@case(second_factors.use_code)
async def _(seed: Seed) -> Any:
    return second_factors.UseCode(user_guid=await _with_factor(seed), step=8)


@case(second_factors.renew_recovery)
async def _(seed: Seed) -> Any:
    return second_factors.RenewRecovery(user_guid=await _with_factor(seed), recovery_hashes=["c"], actor=SYSTEM)


@case(second_factors.remove_factor)
async def _(seed: Seed) -> Any:
    return second_factors.RemoveFactor(user_guid=await _with_factor(seed), actor=SYSTEM)


@case(second_factors.demand_factor)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return second_factors.DemandFactor(organization_guid=organization.guid, demanded=True, actor=SYSTEM)


@case(passcodes.create_passcode)
async def _(seed: Seed) -> Any:
    return passcodes.CreatePasscode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S)


@case(passcodes.use_passcode)
async def _(seed: Seed) -> Any:
    made = passcodes.CreatePasscode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S)
    await seed.database.write(passcodes.create_passcode, made)
    return passcodes.UsePasscode(code_hash="h")


@case(ssh.create_ssh_code)
async def _(seed: Seed) -> Any:
    return ssh.CreateSshCode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S)


@case(ssh.use_ssh_code)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    made = ssh.CreateSshCode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S + 60)
    await seed.database.write(ssh.create_ssh_code, made)
    return ssh.UseSshCode(code_hash="h", actor=SYSTEM, app_guid=app.guid, process_type="web", instance_guid="i")


@case(ssh.add_ssh_host_key)
async def _(seed: Seed) -> Any:
    return ssh.AddSshHostKey(algorithm="ssh-ed25519", sealed_private="sealed", public_key="ssh-ed25519 AAAA")


@case(ssh.switch_ssh)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return ssh.SwitchSsh(organization_guid=organization.guid, allowed=False, actor=SYSTEM)


@case(identities.sign_in_externally)
async def _(seed: Seed) -> Any:
    return identities.SignInExternally(origin="corp", subject="s-1", username="ann")


@case(clients.put_client)
async def _(seed: Seed) -> Any:
    return clients.PutClient(client_id="ci", value="{}", scopes=["cloud_controller.read"], actor=SYSTEM)


@case(clients.delete_client)
async def _(seed: Seed) -> Any:
    made = clients.PutClient(client_id="ci", value="{}", scopes=[], actor=SYSTEM)
    await seed.database.write(clients.put_client, made)
    return clients.DeleteClient(client_id="ci", actor=SYSTEM)
