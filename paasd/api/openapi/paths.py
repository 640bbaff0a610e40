"""Each route as an operation of OpenAPI: parameters from what its query accepts, body and answer from structs. Pure."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from paasd.api.answers import Answer, Errors, OAuthRefusal
from paasd.api.openapi.answers import answers_of
from paasd.api.openapi.bodies import body_of
from paasd.api.query import MAX_PER_PAGE, TIME_FILTERS, TIME_OPERATORS, QuerySpec
from paasd.api.table import Auth, Route, Size

References = Mapping[Any, dict[str, Any]]
REFERENCE: Final = "#/components/schemas/{name}"
PLACE: Final = re.compile(r"<([a-z_]+)>")
SECURITY: Final[dict[Auth, list[dict[str, list[str]]]]] = {
    Auth.NONE: [],
    Auth.BEARER: [{"bearer": []}],
    Auth.BASIC: [{"bearer": []}, {"basic": []}],
}
JSON: Final = "application/json"
HTML: Final = "text/html"
REFUSALS: Final = {
    "4XX": "What was asked for cannot be had; `detail` says why and what to do",
    "5XX": "It cannot be done now: try again, or look into the log under the request id",
}


class Info(Answer):
    """What is described."""

    title: str
    version: str
    description: str


class Components(Answer):
    """What operations refer to."""

    schemas: dict[str, Any]
    securitySchemes: dict[str, Any]


class Description(Answer):
    """The document."""

    openapi: str
    info: Info
    paths: dict[str, dict[str, Any]]
    components: Components


def describe(routes: Iterable[Route], version: str) -> Description:
    """The whole document."""
    known = list(routes)
    structs: set[Any] = {Errors, OAuthRefusal}
    for route in known:
        answers = answers_of(route.handler)
        structs |= {body_of(route.handler), *answers.structs, *answers.refused} - {None}
    ordered = sorted(structs, key=repr)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    references: References = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in known:
        paths.setdefault(PLACE.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, references)
    return Description(
        openapi="3.1.0",
        info=Info(
            title="paasd",
            version=version,
            description="Cloud Foundry's v3 API as far as paasd has it, sign-in, logs, and paasd's own calls.",
        ),
        paths=paths,
        components=Components(
            schemas=components,
            securitySchemes={
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        ),
    )


def operation_id(route: Route) -> str:
    """A name of its own for each operation, such as `get_v3_apps_guid`."""
    return re.sub(r"[^a-zA-Z0-9]+", "_", f"{route.method.lower()} {route.path}").strip("_")


def summary(route: Route) -> str:
    """The first line of what the handler says of itself."""
    return (inspect.getdoc(route.handler) or "").partition("\n")[0]


def family(path: str) -> str:
    """The group of calls that a path belongs to."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["v3"]:
        return parts[1] if len(parts) > 1 else "root"
    if parts[:2] == ["paasd", "v1"]:
        return "paasd"
    if parts[:1] == ["api"]:
        return "logs"
    return parts[0] if parts[:1] in (["networking"], ["routing"]) else "sign-in" if parts else "root"


def _operation(route: Route, references: References) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": summary(route),
        "description": f"For: {route.permission}.",
        "tags": [family(route.path)],
        "security": SECURITY[route.auth],
        "parameters": [*_places(route.path), *_query(route.query)],
        "responses": {"2XX": _answer(route, references), **_refusals(route, references)},
    }
    form = body_of(route.handler)
    if form is not None:
        found["requestBody"] = {"content": {JSON: {"schema": references[form]}}}
    elif route.size is Size.UPLOAD:
        found["requestBody"] = {"content": {"application/octet-stream": {}, "multipart/form-data": {}}}
    return found


def _refusals(route: Route, references: References) -> dict[str, Any]:
    kinds: list[Any] = [Errors, *answers_of(route.handler).refused]
    if family(route.path) == "sign-in":
        kinds.append(OAuthRefusal)
    content: dict[str, Any] = {JSON: {"schema": _any_of(kinds, references)}}
    if HTML in answers_of(route.handler).media:  # pages say what is wrong on a page
        content[HTML] = {}
    return {status: {"description": text, "content": content} for status, text in REFUSALS.items()}


def _answer(route: Route, references: References) -> dict[str, Any]:
    described: dict[str, Any] = {"description": summary(route) or "Done"}
    answers = answers_of(route.handler)
    content: dict[str, Any] = {media: {} for media in answers.media}
    if answers.structs:
        content[JSON] = {"schema": _any_of(answers.structs, references)}
    return {**described, "content": content} if content else described


def _any_of(kinds: Sequence[Any], references: References) -> dict[str, Any]:
    found = [references[kind] for kind in kinds]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _places(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in PLACE.findall(path)
    ]


def _query(spec: QuerySpec) -> list[dict[str, Any]]:
    text: dict[str, Any] = {"type": "string"}
    found = [_parameter(name, text, "Values with commas between them.") for name in spec.filters]
    found += [_parameter(f"{name}[not]", text, "None of these values.") for name in spec.negated]
    found += [_parameter(name, text) for name in spec.plain]
    if spec.pages:
        found.append(_parameter("page", {"type": "integer", "minimum": 1}))
        found.append(_parameter("per_page", {"type": "integer", "minimum": 1, "maximum": MAX_PER_PAGE}))
    if spec.order_by:
        choices = [sign + name for name in spec.order_by for sign in ("", "-")]
        found.append(_parameter("order_by", {"type": "string", "enum": choices}))
    if spec.include:
        found.append(_parameter("include", text, f"Of: {', '.join(spec.include)}."))
    if spec.labels:
        found.append(_parameter("label_selector", text))
    if spec.times:
        time = {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
        for name in TIME_FILTERS:
            found += [_parameter(f"{name}[{operator}]", time) for operator in TIME_OPERATORS]
            found.append(_parameter(name, text, "Times with commas between them."))
    found += [_parameter(f"fields[{name}]", text, f"Of: {', '.join(names)}.") for name, names in spec.fields.items()]
    return found


def _parameter(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    return {**found, "description": description} if description else found
