"""Virtual time around the core of one instance's life."""

from math import inf

from paasd.config import SupervisorConfig
from paasd.model import HealthCheck
from paasd.supervisor.events import (
    Effect,
    Launched,
    Message,
    Probed,
    Remember,
    Say,
)
from paasd.supervisor.lifecycle import Lifecycle
from paasd.supervisor.probing import Checks

CONFIG = SupervisorConfig()


PORT = Checks(HealthCheck(), HealthCheck(type="process"))


PROCESS = Checks(HealthCheck(type="process"), HealthCheck(type="process"))


READY = Checks(HealthCheck(type="process"), HealthCheck(type="http", endpoint="/ready"))


REFUSED = "Failed to make TCP connection to port 8080: connection refused"


class World:
    """Virtual time around one core: a script of messages, a record of the effects that are not mere lines."""

    def __init__(
        self,
        checks: Checks = PORT,
        config: SupervisorConfig = CONFIG,
        crash_count: int = 0,
        drain_s: float | None = None,
    ) -> None:
        self.now = 1000.0
        self.core = Lifecycle(config, checks, "APP/PROC/WEB", "c", "i", crash_count=crash_count, drain_s=drain_s)
        self.seen: list[tuple[float, Effect]] = []
        self.said: list[str] = []

    def do(self, effects: list[Effect]) -> list[Effect]:
        self.said += [effect.text for effect in effects if isinstance(effect, Say)]
        kept = [effect for effect in effects if not isinstance(effect, Say | Remember)]
        self.seen += [(round(self.now - 1000, 6), effect) for effect in kept]
        return kept

    def begin(self) -> list[Effect]:
        return self.do(self.core.begin(self.now))

    def tell(self, message: Message) -> list[Effect]:
        return self.do(self.core.receive(self.now, message))

    def sleep(self) -> list[Effect]:
        """Until the core wants to be woken."""
        assert self.core.deadline < inf, f"the core waits for ever in {self.core.phase}"
        self.now = max(self.now, self.core.deadline)
        return self.do(self.core.wake(self.now))

    def run(self) -> "World":
        """To RUNNING."""
        self.begin()
        self.tell(Launched())
        if self.core.phase == "starting":
            self.tell(Probed("start"))
        assert self.core.phase == "running"
        return self
