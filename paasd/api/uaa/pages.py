"""The few pages of sign-in: plain HTML without a script, nothing from elsewhere, not to be framed or kept."""

import hashlib
from base64 import b64encode
from functools import cache
from html import escape
from importlib import resources
from string import Template
from typing import Final

from paasd.api.answers import Html
from paasd.api.call import Call, Reply, sent_by_another_site
from paasd.errors import Forbidden

STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;margin:0;background:#fff;color:#111}"
    "main{max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "label{display:block;margin:1rem 0 .2rem}"
    "input{font:inherit;width:100%;padding:.4rem;box-sizing:border-box;border:2px solid #111}"
    "button,a.button{display:inline-block;font:inherit;margin:1rem 0;padding:.4rem 1rem;border:2px solid #111;"
    "background:#00602c;color:#fff;text-decoration:none}"
    ".code{font:2rem/2 ui-monospace,monospace}"
    ".error{border-left:.5rem solid #b00020;padding-left:1rem}"
)
POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page(call: Call, content: str, *, status: int = 200, cookie: str = "") -> Reply[Html]:
    """A page; `content` is HTML in which everything from outside was escaped."""
    platform = f"paasd {call.context.config.domains.system}"
    html = _template().substitute(platform=escape(platform), style=STYLE, content=content)
    headers = {**HEADERS, "Set-Cookie": cookie} if cookie else HEADERS
    return Reply(status=status, raw=html.encode(), content_type="text/html; charset=utf-8", headers=dict(headers))


def failure(call: Call, why: str, *, status: int = 401, cookie: str = "") -> Reply[Html]:
    """A page that says what went wrong, and leads back."""
    return page(
        call, f'{error_of(why)}<p><a href="{base(call)}/passcode">Try again</a></p>', status=status, cookie=cookie
    )


def error_of(why: str) -> str:
    """A marked paragraph, or nothing."""
    return f'<p class="error" role="alert">{escape(why)}</p>' if why else ""


def passcode_page(call: Call, code: str, *, cookie: str = "") -> Reply[Html]:
    """The code itself."""
    minutes = max(1, call.context.config.auth.passcode_s // 60)
    text = (
        f"<p>Your passcode, which counts once and within {minutes} minutes:</p>"
        f'<p class="code">{escape(code)}</p>'
        "<p>Give it to <code>cf login --sso</code>, or to <code>paasd --passcode</code>. Give it to nobody else: "
        "whoever has it signs in as you.</p>"
    )
    return page(call, text, cookie=cookie)


def base(call: Call) -> str:
    """What the paths of this door begin with, as the browser has to ask for them."""
    return "/uaa" if call.request.path.startswith("/uaa/") else ""


def check_same_site(call: Call) -> None:
    """Raise Forbidden for a form that another site had sent: it could sign somebody in as somebody else."""
    if sent_by_another_site(call.request):
        raise Forbidden("This form was sent by another site; open the page yourself")


@cache
def _template() -> Template:
    return Template(resources.files("paasd.api.uaa").joinpath("passcode.html").read_text())
