"""`/invitation`: the page behind the link of an invitation, where somebody without an account chooses a password."""

from html import escape
from typing import Final

from paasd.actions import invitations
from paasd.api.call import Call, Reply
from paasd.api.table import Auth, Route, get, post
from paasd.api.uaa.tokens import read_form
from paasd.auth.service import OAuthError
from paasd.errors import PaasdError, Unprocessable

PASSWORD_MIN: Final = 12
PASSWORD_MAX: Final = 255
HTML: Final = "text/html; charset=utf-8"
# Nothing is loaded, nobody may frame the page, and the link is told to no other site.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Invitation</title>
<style>body{{font:1.1rem/1.5 sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}}label,input{{display:block}}
input{{font:inherit;width:100%;margin-bottom:1rem}}.problem{{color:#a00}}</style></head>
<body><h1>{title}</h1>{text}</body></html>
"""
FORM: Final = """<p>{who} invites you to the organization <b>{organization}</b>.</p>{problem}
<form method="post"><input type="hidden" name="secret" value="{secret}">
<label for="username">Your user name</label>
<input id="username" name="username" value="{username}" autocomplete="username" required>
<label for="password">A new password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required>
<button>Accept</button></form>
<p>You have an account? Then accept with it, on the command line: <code>paasd invite accept {secret}</code></p>
"""


async def show(call: Call) -> Reply:
    """What is offered, and the form. Looking at it uses nothing up."""
    secret = call.query.plain.get("secret", "")
    return _form(call, secret, "", None)


async def answer(call: Call) -> Reply:
    """Makes the account and grants the roles; else the form again, with what is wrong."""
    if call.header("Sec-Fetch-Site") not in ("", "same-origin", "none"):
        raise OAuthError(403, "access_denied", "The form was sent from another site")
    form = await read_form(call)
    secret, username, password = (form.get(name, "") for name in ("secret", "username", "password"))
    try:
        _, organization = invitations.read(call.context, secret)
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise Unprocessable(f"A password has between {PASSWORD_MIN} and {PASSWORD_MAX} characters")
        hashed = await call.platform.auth.passwords.hash(password)
        user = await invitations.sign_up(call.context, secret, username.strip(), hashed)
    except PaasdError as error:
        return _form(call, secret, username, error.detail)
    text = f"<p>You are {escape(user.username)} in {escape(organization)} now. Sign in with <code>cf login</code>.</p>"
    return _page(200, "Welcome", text)


def _form(call: Call, secret: str, username: str, problem: str | None) -> Reply:
    try:
        row, organization = invitations.read(call.context, secret)
    except PaasdError as error:
        return _page(404, "No such invitation", f"<p>{escape(error.detail)}</p>")
    text = FORM.format(
        who=escape(row.invited_by),
        organization=escape(organization),
        problem="" if problem is None else f'<p class="problem">{escape(problem)}</p>',
        secret=escape(secret),
        username=escape(username or row.address),
    )
    return _page(200 if problem is None else 422, "Invitation", text)


def _page(status: int, title: str, text: str) -> Reply:
    raw = PAGE.format(title=escape(title), text=text).encode()
    return Reply(status=status, raw=raw, content_type=HTML, headers=HEADERS)


INVITATION_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/invitation", show, auth=Auth.NONE, any_query=True, permission="who has the secret"),
        post(f"{prefix}/invitation", answer, auth=Auth.NONE, any_query=True, permission="who has the secret"),
    )
)
