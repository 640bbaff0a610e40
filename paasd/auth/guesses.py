"""Wrong passwords and codes: who guesses has to wait, and whose name it is goes on.

Pure; the caller gives the time. What is counted, each with waits of its own:

- one name from one source (an address, or a network of IPv6): after a few, that source waits for that name;
- one source, over all names: it gets more tries than a name, since many people may stand behind it;
- one name, from everywhere: only this bounds who comes from many sources. It takes many more, more than one source
  alone can keep up, and it holds nobody up who was signed in from where they are.

Kept in memory only: signing in writes nothing, and a restart forgives everybody.
"""

from collections import OrderedDict
from typing import Final

from paasd.auth.throttle import Throttle, shortened
from paasd.config import AuthConfig
from paasd.sources import source_of

ADDRESS_FACTOR: Final = 10
"""Wrong passwords from one source hurt many names; it gets so many times the tries of a name."""


class Guesses:
    """Failed attempts to sign in, and the sources from which people came in before."""

    def __init__(self, config: AuthConfig) -> None:
        self._config = config
        self._throttle = Throttle(config)
        self._known: OrderedDict[bytes, OrderedDict[bytes, float]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """Of how many names sources are known."""
        return len(self._known)

    def wait_s(self, name: str, address: str, now: float) -> float:
        """Seconds until there may be an attempt for this name from this address; 0 when there may be one at once."""
        keys = [_pair(name, address), _source(address)]
        if not self.is_known(name, address, now):
            keys.append(_everywhere(name))
        return max(self._throttle.wait_s(key, now) for key in keys)

    def source_wait_s(self, address: str, now: float) -> float:
        """Likewise where no name is given."""
        return self._throttle.wait_s(_source(address), now)

    def failed(self, name: str, address: str, now: float) -> None:
        """Count a wrong password or code."""
        self._throttle.failed(_pair(name, address), now)
        self._throttle.failed(_everywhere(name), now, allowed=self._config.login_name_failures)
        self.source_failed(address, now)

    def source_failed(self, address: str, now: float) -> None:
        """Likewise where no name was given."""
        self._throttle.failed(_source(address), now, allowed=self._config.login_failures * ADDRESS_FACTOR)

    def succeeded(self, name: str, address: str, now: float) -> None:
        """Somebody has shown that the name is theirs: from there, what went wrong is forgotten."""
        self._throttle.succeeded(_pair(name, address))
        self.seen(name, address, now)

    def seen(self, name: str, address: str, now: float) -> None:
        """Somebody of this name is signed in there: guesses of others will not hold them up."""
        short = shortened(folded(name))
        sources = self._known.setdefault(short, OrderedDict())
        self._known.move_to_end(short)
        source = shortened(source_of(address))
        sources[source] = now + self._config.login_known_s
        sources.move_to_end(source)
        while len(sources) > self._config.login_known_sources:
            sources.popitem(last=False)
        while len(self._known) > self._config.throttle_entries:
            self._known.popitem(last=False)

    def is_known(self, name: str, address: str, now: float) -> bool:
        """Whether somebody of this name was signed in there."""
        sources = self._known.get(shortened(folded(name)))
        return sources is not None and sources.get(shortened(source_of(address)), 0.0) > now


def folded(name: str) -> str:
    """A name as the table of users compares it: letters of ASCII have no case, all others have."""
    return name.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def _pair(name: str, address: str) -> str:
    return f"name/{source_of(address)}/{folded(name)}"


def _everywhere(name: str) -> str:
    return f"everywhere/{folded(name)}"


def _source(address: str) -> str:
    return f"address/{source_of(address)}"
