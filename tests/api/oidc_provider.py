"""An OpenID Connect provider that is not ours (PyPI `oidc-provider-mock`, on Authlib), run as a program of its own.

`python -m tests.api.oidc_provider PORT`: a new signing key at each start. It does not look at PKCE; what it is sent is
kept, for tests to compare: GET /seen.
"""

import sys
from typing import Any

import flask
import oidc_provider_mock
from oidc_provider_mock import User
from werkzeug.serving import make_server

PEOPLE = {
    "s-1": {"preferred_username": "ada", "email": "ada@example.org", "email_verified": True},
    "s-2": {"preferred_username": "ada", "email": "other@example.org", "email_verified": True},
    "s-3": {"preferred_username": "bob", "email": "bob@example.org", "email_verified": True, "amr": ["pwd", "mfa"]},
    "s-4": {"email": "nameless@example.org", "email_verified": False},
    "s-5": {"preferred_username": "admin", "email": "admin", "email_verified": True},
}


def main(port: int) -> None:
    """Serve until killed."""
    people = [User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
    app = oidc_provider_mock.app(user_claims=people, require_nonce=True)
    app.debug = False
    seen: list[dict[str, Any]] = []

    @app.before_request
    def keep() -> None:
        if flask.request.path.startswith("/oauth2/"):
            wanted = {**flask.request.args.to_dict(), **flask.request.form.to_dict()}
            basic = flask.request.authorization
            seen.append({"path": flask.request.path, "basic": None if basic is None else basic.username, **wanted})

    @app.get("/seen")
    def show() -> Any:
        return flask.jsonify(seen)

    server = make_server("127.0.0.1", port, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
