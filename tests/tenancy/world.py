"""Three organizations of the same make, and people with every role in each."""

import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from paasd.api.app import make_app
from paasd.api.platform import Platform
from paasd.api.routes import make_route_table
from paasd.api.table import RouteTable
from paasd.auth.sign_in import SignIn
from paasd.auth.tokens import Client
from paasd.config import Config, RouterConfig
from paasd.model import Build, Domain, Droplet, DropletLayer
from paasd.model.arguments import SYSTEM
from paasd.model.builds import AssignBuild, CreateBuild, FinishBuild, assign_build, create_build, finish_build
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.packages import BeginUpload, FinishUpload, begin_upload, finish_upload
from paasd.model.roles import ORGANIZATION_ROLES, SPACE_ROLES, CreateRole, create_role
from paasd.model.router_groups import TCP_GROUP_GUID
from paasd.model.users import CreateUser, create_user
from tests.api.serving import API, CHEAP_HASHES, Served, serve
from tests.tenancy.calling import Answer, Api
from tests.tenancy.seeds import NAMES, SEEDS, named

WORDS: Final = ("zebra", "bison", "camel")
NOBODY: Final = "hyena"
EVERYBODYS: Final = ("shared", "ports")
# Of the second organization: somebody with every role, with each alone, and with none.
HOSTILE: Final = ("owner", "stranger", *ORGANIZATION_ROLES, *SPACE_ROLES)
EVERY_ROLE: Final = (*ORGANIZATION_ROLES, *SPACE_ROLES)
# Who there is beside one person for each role: everything at once, and nothing at all.
PEOPLE: Final[dict[str, tuple[str, ...]]] = {
    "owner": EVERY_ROLE,
    "stranger": (),
    "member": ("organization_user",),
    "user2": ("organization_user",),
    **{role: tuple(dict.fromkeys(("organization_user", role))) for role in EVERY_ROLE},
}
PLACEHOLDER: Final = re.compile(r"\$([a-z_]+\d?(?:\.name)?)")


class Organization(msgspec.Struct):
    """Guids and names by kind, tokens by person."""

    word: str
    values: dict[str, str] = {}
    tokens: dict[str, str] = {}

    def private(self) -> dict[str, str]:
        """What nobody outside may be told, by kind."""
        return {kind: value for kind, value in self.values.items() if kind not in EVERYBODYS}


def filled(template: Any, values: dict[str, str]) -> Any:
    """A body or path with `$kind` replaced."""
    if isinstance(template, str):
        return PLACEHOLDER.sub(lambda match: values[match[1]], template)
    # A port is a number, which no text of JSON holds.
    return json.loads(re.sub(r'"port": "(\d+)"', r'"port": \1', filled(json.dumps(template), values)))


class World:
    """The API, the organizations, and values that nobody has."""

    def __init__(self, served: Served, api: Api, table: RouteTable) -> None:
        self.served = served
        self.api = api
        self.table = table
        self._random = Random(4)
        self.admin = ""
        self.organizations: list[Organization] = []
        self.nobody = Organization(NOBODY)

    def token(self, name: str) -> str:
        """An access token of somebody."""
        user = self.served.auth.find_user(name)
        assert user is not None, name
        return str(
            self.served.auth.grant(Client(client_id="cf"), SignIn(user=user, at=int(self.served.clock())), ())[
                "access_token"
            ]
        )

    async def by_owner(self, owned: Organization, method: str, url: str, body: Any = None) -> Answer:
        """A call of who owns an organization, or where that is not enough of an administrator."""
        answer = await self.api.call(owned.tokens["owner"], method, url, body)
        return await self.api.call(self.admin, method, url, body) if answer.status == 403 else answer

    async def expect(self, token: str, call: str, body: Any = None) -> Answer:
        """A call that has to succeed."""
        method, url = call.split(" ", 1)
        answer = await self.api.call(token, method, url, body)
        assert not answer.refused, f"{call}: {answer.status} {answer.body}"
        return answer

    async def populate(self) -> None:
        database = self.served.context.database
        await database.write(
            register_node, RegisterNode(guid="node", name="n", zone="z", memory_mb=9999, disk_mb=99999, cpus=2)
        )
        self.admin = self.token("admin")
        await self.expect(self.admin, "PATCH /v3/feature_flags/route_sharing", {"enabled": True})
        group = {"guid": TCP_GROUP_GUID}
        await self.expect(self.admin, "POST /v3/domains", {"name": "tcp.localhost", "router_group": group})
        for word in WORDS:
            self.organizations.append(await self._organization(word))
        await self._shared_groups()
        first = self.organizations[0].values
        self.nobody.values = {
            kind: first[kind] if kind in EVERYBODYS else named(kind, NOBODY) if kind in NAMES else self._guid()
            for kind in first
        }

    async def _shared_groups(self) -> None:
        """Security groups that every organization sees, or two of them: which spaces of the first have these, it alone
        knows.
        """
        spaces = [made.values["space"] for made in self.organizations]
        for name, enabled, bound in (("everywhere", True, spaces[:1]), ("together", False, spaces[:2])):
            data = {"data": [{"guid": guid} for guid in bound]}
            group = {
                "name": name,
                "globally_enabled": {"running": enabled, "staging": False},
                "relationships": {"running_spaces": data, "staging_spaces": data},
            }
            await self.expect(self.admin, "POST /v3/security_groups", group)

    def _guid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    async def _organization(self, word: str) -> Organization:
        database = self.served.context.database
        made = Organization(word, {kind: named(kind, word) for kind in NAMES})
        with database.read() as tx:
            shared = tx.find(Domain, name="apps.localhost")
            ports = tx.find(Domain, name="tcp.localhost")
            assert shared is not None
            assert ports is not None
        organization = await database.write(
            create_organization, CreateOrganization(name=made.values["org.name"], actor=SYSTEM)
        )
        made.values |= {"shared": shared.guid, "ports": ports.guid, "org": organization.guid}
        for person, roles in PEOPLE.items():
            user = CreateUser(username=f"{word}-{person}", registered=True, actor=SYSTEM)
            guid = (await database.write(create_user, user)).guid
            made.tokens[person] = self.token(f"{word}-{person}")
            made.values |= {"user": guid} if person == "member" else {"user2": guid} if person == "user2" else {}
            for role in roles:
                if role in ORGANIZATION_ROLES:
                    wanted = CreateRole(type=role, user_guid=guid, organization_guid=organization.guid, actor=SYSTEM)
                    await database.write(create_role, wanted)
        await self._sister(made)
        for kind, call, body in SEEDS:
            await self._seed(made, kind, call, body)
            if kind == "space":
                await self._space_roles(made)
        return made

    async def _sister(self, made: Organization) -> None:
        """A second organization of the same owner, with which the first can share."""
        database, owner = self.served.context.database, self.served.auth.find_user(f"{made.word}-owner")
        assert owner is not None
        wanted = CreateOrganization(name=made.values["org2.name"], actor=SYSTEM)
        made.values["org2"] = (await database.write(create_organization, wanted)).guid
        for role in ("organization_user", "organization_manager"):
            held = CreateRole(type=role, user_guid=owner.guid, organization_guid=made.values["org2"], actor=SYSTEM)
            await database.write(create_role, held)

    async def _space_roles(self, made: Organization) -> None:
        for person, roles in PEOPLE.items():
            user = self.served.auth.find_user(f"{made.word}-{person}")
            assert user is not None
            for role in roles:
                if role in SPACE_ROLES:
                    wanted = CreateRole(type=role, user_guid=user.guid, space_guid=made.values["space"], actor=SYSTEM)
                    await self.served.context.database.write(create_role, wanted)

    async def _seed(self, made: Organization, kind: str, call: str, body: Any) -> None:
        if call == "stage":
            await self._stage(made)
            return
        if kind == "job":
            gone = {"name": "gone", "relationships": {"space": {"data": {"guid": made.values["space"]}}}}
            made.values["gone"] = (await self.expect(made.tokens["owner"], "POST /v3/apps", gone)).json["guid"]
        sent = None if body is None else filled(body, made.values)
        wanted = filled(call, made.values)
        method, url = wanted.split(" ", 1)
        answer = await self.by_owner(made, method, url, sent)
        assert not answer.refused, f"{wanted}: {answer.status} {answer.body}"
        if kind == "job":
            made.values["job"] = dict(answer.headers)["location"].rpartition("/")[2]
            return
        found = answer.json if answer.body else {}
        for inner in ("resources", "destinations"):
            if "guid" not in found and found.get(inner):
                found = found[inner][0]
        if kind:
            made.values[kind] = found["guid"]

    async def _stage(self, made: Organization) -> None:
        """Bits, a build and a current droplet, without a stager."""
        database, package = self.served.context.database, made.values["package"]
        async with self.served.context.blobs.writer(1000) as writer:
            await writer.write(made.word.encode())
            blob = await writer.commit()
        await database.write(begin_upload, BeginUpload(package_guid=package, actor=SYSTEM))
        bits = FinishUpload(package_guid=package, blob_sha256=blob.sha256, size_bytes=blob.size_bytes)
        await database.write(finish_upload, bits)
        build = await database.write(
            create_build, CreateBuild(package_guid=package, default_stack="host", actor=SYSTEM)
        )
        await database.write(assign_build, AssignBuild(build_guid=build.guid, node_guid="node", epoch=0))
        with database.read() as tx:
            epoch = tx.need(Build, build.guid).epoch
        layers = [DropletLayer(role="app", sha256="b" * 64, size_bytes=9)]
        done = FinishBuild(
            build_guid=build.guid, node_guid="node", epoch=epoch, layers=layers, process_types={"web": "run"}
        )
        await database.write(finish_build, done)
        with database.read() as tx:
            droplet = tx.all(Droplet, app_guid=made.values["app"])[0].guid
        made.values |= {"build": build.guid, "droplet": droplet}
        relation = f"PATCH /v3/apps/{made.values['app']}/relationships/current_droplet"
        await self.expect(made.tokens["owner"], relation, {"data": {"guid": droplet}})


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """An API in this process with three organizations in it."""
    config = Config(api=API, auth=CHEAP_HASHES, router=RouterConfig(tcp_ports="20000-20099"))
    async with serve(directory, config) as served:
        table = make_route_table()
        platform = Platform(served.context, served.auth, served.context.config, "0.0")
        world = World(served, Api(make_app(platform, table), served.context.database), table)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        try:
            await world.populate()
            yield world
        finally:
            structlog.reset_defaults()
