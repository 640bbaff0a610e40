"""Manifests: applied to a space, compared with it, and written out for an app."""

from typing import Any, Literal

from msgspec import UNSET

from paasd.actions import manifests
from paasd.api.answers import Answer
from paasd.api.call import Call, Reply
from paasd.api.table import Route, get, post
from paasd.api.v3.jobs import job_reply
from paasd.api.whom import DEVELOPERS, SECRET_READERS

YAML = "application/x-yaml"


class Change(Answer):
    """A change at a path of the manifest: `was` is what it replaces or takes away, `value` what it puts there."""

    op: Literal["add", "remove", "replace"]
    path: str
    was: Any = UNSET
    value: Any = UNSET


class Difference(Answer):
    """What applying a manifest would change."""

    diff: list[Change]


async def apply_manifest(call: Call) -> Reply[None]:
    """202 with a job. Flags of `cf push` arrive here too: the CLI writes them into the manifest."""
    text = await call.body.read()
    return job_reply(call, await manifests.apply(call.context, call.caller, call.path["guid"], text))


async def manifest_diff(call: Call) -> Reply[Difference]:
    """201: what applying it would change. Nothing is changed."""
    text = await call.body.read()
    rows = await manifests.difference(call.context, call.caller, call.path["guid"], text)
    return Reply(status=201, body=Difference(diff=[Change(**row) for row in rows]))


async def app_manifest(call: Call) -> Reply[Literal["application/x-yaml"]]:
    """The app as YAML, so that a push with it would change nothing."""
    text = await manifests.generate_text(call.context, call.caller, call.path["guid"])
    return Reply(raw=text.encode(), content_type=YAML)


ROUTES: tuple[Route, ...] = (
    post("/v3/spaces/<guid>/actions/apply_manifest", apply_manifest, permission=DEVELOPERS),
    post("/v3/spaces/<guid>/manifest_diff", manifest_diff, permission=DEVELOPERS),
    get("/v3/apps/<guid>/manifest", app_manifest, permission=SECRET_READERS),
)
