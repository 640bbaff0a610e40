"""Buildpacks and stacks that do not exist are told at once."""

import pytest

from paasd.actions import apps, builds, manifests
from paasd.actions.lifecycle import check_buildpacks
from paasd.errors import Unprocessable
from paasd.model.manifests import ManifestError
from tests.actions.world import World


@pytest.mark.parametrize(
    "name",
    [
        "python",
        "python_buildpack",
        "nodejs_buildpack",
        "staticfile_buildpack",
        "binary_buildpack",
        "https://github.com/cloudfoundry/python-buildpack.git#v1",
        "https://example.org/some/buildpack.git",
        "git://example.org/some/buildpack",
    ],
)
def test_built_in_ones_and_addresses_are_taken(name: str) -> None:
    check_buildpacks([name])


@pytest.mark.parametrize("name", ["cobol_buildpack", "", "file:///etc", "/etc/passwd", "https://", "../x"])
def test_others_are_refused_by_name(name: str) -> None:
    with pytest.raises(Unprocessable, match="must be an existing admin buildpack or a valid git URI"):
        check_buildpacks([name])


def test_one_that_the_operator_installed_is_taken() -> None:
    check_buildpacks(["cobol"], {"cobol": "/srv/cobol.zip"})


async def test_every_way_to_name_them_is_checked(world: World) -> None:
    context, admin, space = world.context, world.admin, world.space.guid
    with pytest.raises(Unprocessable, match="existing admin buildpack"):
        await apps.create(context, admin, name="x", space_guid=space, buildpacks=["cobol"])
    with pytest.raises(Unprocessable, match="existing stack"):
        await apps.create(context, admin, name="x", space_guid=space, stack="windows")
    with pytest.raises(Unprocessable, match="not supported"):
        await apps.create(context, admin, name="x", space_guid=space, lifecycle_type="docker")
    app = await apps.create(context, admin, name="x", space_guid=space, buildpacks=["python"], stack="host")
    with pytest.raises(Unprocessable, match="existing admin buildpack"):
        await apps.update(context, admin, app.guid, buildpacks=["cobol"])
    with pytest.raises(Unprocessable, match="existing stack"):
        await apps.update(context, admin, app.guid, stack="windows")
    assert (await apps.update(context, admin, app.guid, stack=None)).stack is None
    droplet = await world.staged(app)
    with pytest.raises(Unprocessable, match="existing admin buildpack"):
        await builds.create(context, admin, package_guid=droplet.package_guid or "", buildpacks=["cobol"])
    text = "applications: [{name: x, buildpacks: [cobol], stack: windows}]"
    with pytest.raises(ManifestError) as caught:
        await manifests.apply(context, admin, space, text)
    assert caught.value.details == [
        "For application 'x': buildpacks: Buildpack \"cobol\" must be an existing admin buildpack or a valid git URI",
        "For application 'x': stack must be one of cflinuxfs4, debian12, host, not 'windows'",
    ]
