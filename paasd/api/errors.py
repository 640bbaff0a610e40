"""The one table from kinds of error to Cloud Foundry's status, code and title, and the envelope around them."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec
import trio

from paasd import errors
from paasd.api.answers import ErrorObject, Errors
from paasd.errors import PaasdError
from paasd.model.feature_flags import FeatureDisabled


class Code(NamedTuple):
    """How Cloud Foundry names an error: HTTP status, number, title."""

    status: int
    code: int
    title: str


class HeadersTooLarge(PaasdError):
    """Request line and headers are above their limit (431)."""


class TooManyRequests(PaasdError):
    """A named limit on simultaneous or repeated requests is reached (429); `headers` say when to come again."""

    def __init__(self, detail: str, headers: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers


# Searched along the class's ancestors, nearest first; a part's own subclass needs no row unless its code differs.
CODES: dict[type[PaasdError], Code] = {
    errors.BadQuery: Code(400, 10005, "CF-BadQueryParameter"),
    errors.BadRequest: Code(400, 1001, "CF-MessageParseError"),
    errors.InvalidToken: Code(401, 1000, "CF-InvalidAuthToken"),
    errors.NotAuthenticated: Code(401, 10002, "CF-NotAuthenticated"),
    FeatureDisabled: Code(403, 330002, "CF-FeatureDisabled"),
    errors.OrganizationSuspended: Code(403, 10017, "CF-OrgSuspended"),
    errors.InsufficientScope: Code(403, 10007, "CF-InsufficientScope"),
    errors.Forbidden: Code(403, 10003, "CF-NotAuthorized"),
    errors.NotFound: Code(404, 10010, "CF-ResourceNotFound"),
    errors.Unprocessable: Code(422, 10008, "CF-UnprocessableEntity"),
    errors.TooLarge: Code(413, 290002, "CF-RequestEntityTooLarge"),
    HeadersTooLarge: Code(431, 290003, "CF-RequestHeaderFieldsTooLarge"),
    TooManyRequests: Code(429, 10013, "CF-RateLimitExceeded"),
    errors.Crowded: Code(429, 10013, "CF-RateLimitExceeded"),
    errors.Unavailable: Code(503, 10015, "CF-ServiceUnavailable"),
    errors.OutcomeUnknown: Code(504, 290004, "CF-OutcomeUnknown"),
    errors.ConfigError: Code(500, 10001, "UnknownError"),
    PaasdError: Code(422, 10008, "CF-UnprocessableEntity"),
}
UNKNOWN_REQUEST = Code(404, 10000, "CF-NotFound")
UNKNOWN_ERROR = Code(500, 10001, "UnknownError")


def code_of(error: PaasdError) -> Code:
    """The row for `error`: that of its class or of the nearest ancestor that has one."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def error_object(code: Code, detail: str) -> ErrorObject:
    """One entry of an `errors` list; jobs carry the same. What was sent may be quoted, and be no text."""
    return ErrorObject(code=code.code, title=code.title, detail=detail.encode(errors="replace").decode())


def envelope(code: Code, *details: str) -> bytes:
    """The body of an error answer; never an empty list."""
    return msgspec.json.encode(Errors(errors=[error_object(code, detail) for detail in details]))


def http_status_code(status: int) -> Code:
    """A row for a status that the HTTP layer itself chose (405 and the like count as an unknown request)."""
    if status in (404, 405):
        return UNKNOWN_REQUEST
    if status >= 500:
        return UNKNOWN_ERROR
    return Code(status, 1001, f"CF-{HTTPStatus(status).phrase.title().replace(' ', '').replace('-', '')}")


def known_error(error: BaseException) -> PaasdError | None:
    """The reported error inside `error`, also when nurseries have wrapped it; None when anything else is in it."""
    leaves = [leaf for leaf in _leaves(error) if not isinstance(leaf, trio.Cancelled)]
    known = [leaf for leaf in leaves if isinstance(leaf, PaasdError)]
    return known[0] if known and len(known) == len(leaves) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
