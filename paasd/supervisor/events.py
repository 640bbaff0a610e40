"""What happens to an instance (past tense) and what is to be done about it (imperative): the language of the core."""

from typing import Literal

import msgspec

from paasd.observed import InstanceState
from paasd.supervisor.texts import Ending

ProbeKind = Literal["start", "liveness", "readiness"]


class Message(msgspec.Struct, frozen=True):
    """Something that happened."""


class Launched(Message, frozen=True):
    """Container made, processes started."""


class LaunchFailed(Message, frozen=True):
    """The platform could not start it; nothing of the attempt is left. `reason` is a sentence for the developer."""

    reason: str


class Probed(Message, frozen=True):
    """A probe ended; `failure` None is success."""

    kind: ProbeKind
    failure: str | None = None


class Exited(Message, frozen=True):
    """The app's process ended, and with it everything in the container."""

    ending: Ending


class StopRequested(Message, frozen=True):
    """Its row is gone, or belongs to a later epoch. `grace_s` between TERM and KILL; None is the usual time."""

    grace_s: float | None = None


class Left(Message, frozen=True):
    """No router sends requests to it any more, as far as they could be asked."""


class Destroyed(Message, frozen=True):
    """Nothing of the container is left."""


class Effect(msgspec.Struct, frozen=True):
    """Something to do."""


class Launch(Effect, frozen=True):
    """Make a fresh container and start the app in it; answered by Launched or LaunchFailed."""


class Probe(Effect, frozen=True):
    """Answered by Probed of the same kind."""

    kind: ProbeKind


class Observe(Effect, frozen=True):
    """Publish the instance's state."""

    state: InstanceState
    routable: bool = False
    details: str | None = None


class Say(Effect, frozen=True):
    """A line for the developer. `source_type` "APP" stands for that of the process."""

    source_type: str
    text: str
    stream: Literal["OUT", "ERR"] = "OUT"


class Leave(Effect, frozen=True):
    """Have the routers let go of it; answered by Left, or not at all."""


class SendTerm(Effect, frozen=True):
    """SIGTERM to the app."""


class Kill(Effect, frozen=True):
    """SIGKILL to everything in the container; an Exited follows."""


class Destroy(Effect, frozen=True):
    """Take what is left of the output, then remove the container; answered by Destroyed."""


class ReportCrash(Effect, frozen=True):
    """Tell the platform's events, API line included."""

    description: str
    exit_code: int | None
    count: int


class Remember(Effect, frozen=True):
    """Keep across a restart of the daemon. `healthy`: it has passed its health check and runs."""

    crash_count: int
    healthy: bool
    details: str | None = None


class Finish(Effect, frozen=True):
    """Nothing is left to do for this instance."""
