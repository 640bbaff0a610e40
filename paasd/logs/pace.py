"""How fast spools are read: a pace that makes its users take turns."""

import trio


class Pace:
    """Lets `per_s` units a second through, whoever asks, first come first served. Trio's clock."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._turn = trio.Lock()
        self._free_at = 0.0

    async def take(self, amount: int) -> None:
        """Wait for one's turn and until `amount` more units are allowed. A second's worth may come at once."""
        async with self._turn:
            now = trio.current_time()
            self._free_at = max(self._free_at, now - 1.0) + amount / self._per_s
            await trio.sleep(max(0.0, self._free_at - now))
