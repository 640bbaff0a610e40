"""[tunnels]: requests that come in at one node and are answered at another."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class TunnelsConfig(Section, frozen=True, kw_only=True):
    """[tunnels]: requests that come in at one node and are answered at another.

    A node that dies without a word is out of use after `check_interval_s` + `check_timeout_s` at the latest, and what
    it was working on fails after `ping_interval_s` + `ping_timeout_s`. Shorter times find it sooner; longer ones
    forgive more of a bad network, where a moment out of use may mean errors.
    """

    check_interval_s: Annotated[
        float, Meta(gt=0, description="Each other node's router is asked so often, in seconds, whether it answers.")
    ] = 0.4
    check_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="A node whose router has not answered after so many seconds gets no requests until it does. "
            "Keep it above twice the longest round trip between nodes plus 0.2 s: then one lost packet does not count.",
        ),
    ] = 0.5
    idle_check_interval_s: Annotated[
        float,
        Meta(
            gt=0,
            description="The same for nodes to which no request was ever passed on, in seconds. In a large cluster "
            "most of the checks are of this kind.",
        ),
    ] = 1.0
    ping_interval_s: Annotated[
        float, Meta(gt=0, description="An open connection to another node is probed so often, in seconds.")
    ] = 0.25
    ping_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="A connection whose probe is not answered within so many seconds is closed, and with it the "
            "requests and WebSockets on it.",
        ),
    ] = 0.45
    connect_timeout_s: Annotated[
        float, Meta(gt=0, description="Connecting to another node, TLS included, fails after so many seconds.")
    ] = 1.0
