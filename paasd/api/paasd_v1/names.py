"""Organizations, spaces and apps by name. A name that leads nowhere is a 404 that says how to make it."""

from urllib.parse import quote

from paasd.actions.visibility import visible
from paasd.api.call import Call
from paasd.errors import NotFound
from paasd.model import App, Organization, Space
from paasd.state import ReadTx


def find_organization(call: Call, tx: ReadTx) -> Organization:
    """The organization of the path. Raises NotFound naming the call that makes it."""
    organization_name = call.path["organization"]
    organization = tx.find(Organization, *visible(tx, call.caller, Organization), name=organization_name)
    if organization is None:
        raise NotFound(
            "Organization",
            f"Organization '{organization_name}' not found, or you have no role in it. An administrator makes it with:"
            f' POST /v3/organizations {{"name": "{organization_name}"}}, or: paasd create-org {organization_name}',
        )
    return organization


def find_space(call: Call, tx: ReadTx) -> Space:
    """The space of the path. Raises NotFound naming the call that makes it."""
    organization, space_name = find_organization(call, tx), call.path["space"]
    space = tx.find(Space, *visible(tx, call.caller, Space), organization_guid=organization.guid, name=space_name)
    if space is None:
        raise NotFound(
            "Space",
            f"Space '{space_name}' not found in organization '{organization.name}', or you have no role in it."
            f" A manager of the organization makes it with: paasd create-space {organization.name}/{space_name},"
            f" or: POST /v3/spaces with the organization's guid {organization.guid}",
        )
    return space


def find_app(call: Call, tx: ReadTx) -> App:
    """The app of the path. Raises NotFound naming the call that makes it."""
    space = find_space(call, tx)
    name = call.path["app"]
    app = tx.find(App, *visible(tx, call.caller, App), space_guid=space.guid, name=name)
    if app is None:
        where = f"/paasd/v1/spaces/{quote(call.path['organization'])}/{quote(call.path['space'])}"
        raise NotFound(
            "App",
            f"App '{name}' not found in space '{space.name}'. `paasd apps` (GET {where}/apps) lists what is there,"
            f" `paasd push {name} FOLDER` (POST {where}/push?name={quote(name)}) makes it",
        )
    return app
