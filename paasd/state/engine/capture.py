"""What a transaction changes, as the changeset that other nodes apply."""

import apsw

from paasd.state.engine.schema import NOT_REPLICATED


class Capture:
    """A session over every replicated table, closed at the end of the block."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._session = apsw.Session(connection, "main")
        self._session.config(apsw.SQLITE_SESSION_OBJCONFIG_SIZE, True)
        self._session.table_filter(lambda name: name not in NOT_REPLICATED)
        self._session.attach()

    def __enter__(self) -> apsw.Session:
        return self._session

    def __exit__(self, *_: object) -> None:
        self._session.close()
