"""`/invitation`: the page behind the link of an invitation, where somebody without an account chooses a password.

The user name is the address that was invited; where the link does not prove it, there is no form."""

from html import escape
from typing import Final

from paasd.actions import invitations
from paasd.api.answers import Html
from paasd.api.call import Call, Reply
from paasd.api.table import Auth, Route, get, post
from paasd.api.uaa.pages import check_same_site, error_of, page
from paasd.api.uaa.tokens import read_form
from paasd.auth.passwords import Asker
from paasd.auth.strength import why_weak
from paasd.errors import PaasdError, Unprocessable
from paasd.model.invitations import makes_account

OFFER: Final = """<h1>Invitation</h1><p>{who} invites you to the organization <b>{organization}</b>.</p>{problem}{form}
<p>You have an account? Then accept with it, on the command line: <code>paasd invite accept {secret}</code></p>
"""
FORM: Final = """
<form method="post"><input type="hidden" name="secret" value="{secret}">
<label for="username">Your user name</label>
<input id="username" name="username" value="{username}" autocomplete="username" readonly>
<label for="password">A new password, of 12 characters or more</label>
<input id="password" name="password" type="password" autocomplete="new-password" required>
<button>Accept</button></form>"""


async def show(call: Call) -> Reply[Html]:
    """What is offered, and the form. Looking at it uses nothing up."""
    secret = call.query.plain.get("secret", "")
    return _form(call, secret, None)


async def answer(call: Call) -> Reply[Html]:
    """Makes the account and grants the roles; else the form again, with what is wrong."""
    check_same_site(call)
    form = await read_form(call)
    secret, username, password = (form.get(name, "") for name in ("secret", "username", "password"))
    try:
        _, organization = invitations.read(call.context, call.platform.auth.accounts, secret)
        if (why := why_weak(password, username)) is not None:
            raise Unprocessable(why)
        hashed = await call.platform.auth.passwords.hash(password, Asker(address=call.address))
        user = await invitations.sign_up(
            call.context,
            call.platform.auth.accounts,
            secret,
            username.strip(),
            hashed,
            address=call.address,
            request_id=call.request_id,
        )
    except PaasdError as error:
        return _form(call, secret, error.detail)
    text = f"You are {escape(user.username)} in {escape(organization)} now. Sign in with <code>cf login</code>."
    return page(call, f"<h1>Welcome</h1><p>{text}</p>")


def _form(call: Call, secret: str, problem: str | None) -> Reply[Html]:
    try:
        row, organization = invitations.read(call.context, call.platform.auth.accounts, secret)
    except PaasdError as error:
        return page(call, f"<h1>No such invitation</h1>{error_of(error.detail)}", status=404)
    form = FORM.format(secret=escape(secret), username=escape(row.address)) if makes_account(row) else ""
    text = OFFER.format(
        who=escape(row.invited_by),
        organization=escape(organization),
        problem=error_of(problem or ""),
        form=form,
        secret=escape(secret),
    )
    return page(call, text, status=200 if problem is None else 422)


INVITATION_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/invitation", show, auth=Auth.NONE, any_query=True, permission="who has the secret"),
        post(f"{prefix}/invitation", answer, auth=Auth.NONE, any_query=True, permission="who has the secret"),
    )
)
