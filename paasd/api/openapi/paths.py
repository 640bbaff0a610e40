"""Each route as an operation of OpenAPI: parameters from what its query accepts, body and answer from structs. Pure."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from paasd.api.answers import Errors, LogRefusal, Pagination
from paasd.api.openapi.bodies import body_of
from paasd.api.query import MAX_PER_PAGE, TIME_FILTERS, TIME_OPERATORS, QuerySpec
from paasd.api.table import Auth, Route, Size

References = Mapping[type[msgspec.Struct], dict[str, Any]]
REFERENCE: Final = "#/components/schemas/{name}"
PLACE: Final = re.compile(r"<([a-z_]+)>")
SECURITY: Final[dict[Auth, list[dict[str, list[str]]]]] = {
    Auth.NONE: [],
    Auth.BEARER: [{"bearer": []}],
    Auth.BASIC: [{"bearer": []}, {"basic": []}],
}
JSON: Final = "application/json"
REFUSALS: Final = {
    "4XX": "What was asked for cannot be had; `detail` says why and what to do",
    "5XX": "It cannot be done now: try again, or look into the log under the request id",
}


def describe(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole document."""
    known = list(routes)
    structs: set[type[msgspec.Struct]] = {Errors, LogRefusal, Pagination}
    structs |= {form for route in known if (form := body_of(route.handler)) is not None}
    structs |= {route.answer for route in known if route.answer is not None}
    ordered = sorted(structs, key=lambda struct: (struct.__module__, struct.__qualname__))
    schemas, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    references: References = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in known:
        paths.setdefault(PLACE.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "paasd",
            "version": version,
            "description": "Cloud Foundry's v3 API as far as paasd has it, sign-in, logs, and paasd's own calls.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


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
    return parts[0] if parts[:1] == ["networking"] else "sign-in" if parts else "root"


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
    schema: dict[str, Any] = references[Errors]
    if family(route.path) == "logs":
        schema = {"anyOf": [references[Errors], references[LogRefusal]]}
    if family(route.path) in ("sign-in", "networking"):  # these have forms of their own
        schema = {"type": "object"}
    return {status: {"description": text, "content": {JSON: {"schema": schema}}} for status, text in REFUSALS.items()}


def _answer(route: Route, references: References) -> dict[str, Any]:
    described: dict[str, Any] = {"description": summary(route) or "Done"}
    item = {"type": "object"} if route.answer is None else references[route.answer]
    if route.query.pages and route.method == "GET":
        item = {
            "type": "object",
            "required": ["pagination", "resources"],
            "properties": {
                "pagination": references[Pagination],
                "resources": {"type": "array", "items": item},
                "included": {"type": "object"},
            },
            "additionalProperties": False,
        }
        described["content"] = {JSON: {"schema": item}}
    elif route.answer is not None:
        described["content"] = {JSON: {"schema": item}}
    return described


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
