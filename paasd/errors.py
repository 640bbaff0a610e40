"""The one error root and the kinds of error that a door can name.

Parts raise these or subclasses of them; `api/errors.py` maps each kind to a Cloud Foundry code and status. The detail
is shown to people: it says what is wrong and, where there is something, what to do about it.
"""


class PaasdError(Exception):
    """Anything that paasd reports on purpose. `detail` is a sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigError(PaasdError):
    """The configuration is refused; the detail names the file and the path of the knob."""


class BadQuery(PaasdError):
    """A query parameter is unknown or has a value that it cannot have (400)."""


class BadRequest(PaasdError):
    """The message body cannot be parsed (400)."""


class InvalidToken(PaasdError):
    """A token is malformed, expired or revoked (401)."""


class NotAuthenticated(PaasdError):
    """No token was sent (401)."""


class Forbidden(PaasdError):
    """The caller may see the resource, but not do this to it (403)."""


class InsufficientScope(Forbidden):
    """The token was not made for this, whatever its user may do (403)."""


class OrganizationSuspended(Forbidden):
    """Nobody but an administrator changes anything in a suspended organization (403)."""


class NotFound(PaasdError):
    """There is no such resource, or the caller may not see it (404)."""

    def __init__(self, label: str, detail: str | None = None) -> None:
        super().__init__(detail or f"{label} not found")
        self.label = label


class Unprocessable(PaasdError):
    """The request is well formed and cannot be carried out as the platform stands (422)."""


class TooLarge(PaasdError):
    """A body or file is above its limit, which the detail names (413)."""


class Unavailable(PaasdError):
    """The platform cannot do this now and nothing was changed; trying again may work (503)."""


class Crowded(PaasdError):
    """As much of this as anybody gets at once is under way or waiting (429); later it is served."""


class OutcomeUnknown(PaasdError):
    """The write was sent and its fate is not known yet (504); asking again with `request_id` tells."""

    def __init__(self, detail: str, request_id: str) -> None:
        super().__init__(detail)
        self.request_id = request_id
