"""Arguments of the operations on organizations, spaces, settings, and what goes with them."""

from typing import Any

from paasd.model import (
    apps,
    deletion,
    metadata,
    organizations,
    retention,
    settings,
    spaces,
)
from paasd.model.arguments import SYSTEM
from tests.model.cases.register import LABELS, case
from tests.model.seeding import Seed


@case(settings.bootstrap)
async def _(seed: Seed) -> Any:
    return settings.Bootstrap(apps_domain="apps.localhost")


@case(settings.put_setting)
async def _(seed: Seed) -> Any:
    return settings.PutSetting(name="a", value="b")


@case(organizations.create_organization)
async def _(seed: Seed) -> Any:
    return organizations.CreateOrganization(name="one", metadata=LABELS, actor=SYSTEM)


@case(organizations.update_organization)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return organizations.UpdateOrganization(organization_guid=organization.guid, name="two", actor=SYSTEM)


@case(organizations.begin_delete_organization)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return organizations.DeleteOrganization(organization_guid=organization.guid, actor=SYSTEM)


@case(spaces.create_space)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return spaces.CreateSpace(name="two", organization_guid=organization.guid, actor=SYSTEM)


@case(spaces.update_space)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return spaces.UpdateSpace(space_guid=space.guid, name="two", allow_ssh=False, actor=SYSTEM)


@case(spaces.begin_delete_space)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return spaces.DeleteSpace(space_guid=space.guid, actor=SYSTEM)


@case(metadata.merge_resource_metadata)
async def _(seed: Seed) -> Any:
    return metadata.MergeMetadata(resource_type="user", resource_guid="u", metadata=LABELS)


@case(deletion.delete_chunk)
async def _(seed: Seed) -> Any:
    app = await seed.started()
    await seed.database.write(apps.begin_delete_app, apps.ChangeApp(app_guid=app.guid, actor=SYSTEM))
    return deletion.DeleteChunk(kind="app", guid=app.guid)


@case(retention.expire_parts)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    for _ in range(3):
        await seed.package(app)
    return retention.ExpireParts(app_guid=app.guid, packages=1, droplets=1, builds=1)


@case(retention.expire_records)
async def _(seed: Seed) -> Any:
    await seed.app()
    return retention.ExpireRecords(jobs_before="9999-01-01T00:00:00Z", events_before="9999-01-01T00:00:00Z")
