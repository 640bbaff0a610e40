"""The API of a node that was removed from its platform: whatever it is asked, it says so, and nothing else."""

import msgspec
import quart
from quart import Response
from quart_trio import QuartTrio

import paasd
from paasd.api.errors import CODES, envelope
from paasd.errors import Unavailable

STATUS = "/paasd/v1/status"


def make_removed_app(words: str) -> QuartTrio:
    """`paasd status` shows the words as a problem; everything else is refused with them."""
    status = {"version": paasd.__version__, "state": "removed", "problems": [words], "advice": []}
    app = QuartTrio("paasd", static_folder=None)

    async def answer() -> Response:
        """Before any route is looked for: there are none."""
        if quart.request.path == STATUS and quart.request.method == "GET":
            return _json(200, msgspec.json.encode(status))
        code = CODES[Unavailable]
        return _json(code.status, envelope(code, words))

    app.before_request(answer)
    return app


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, content_type="application/json")
