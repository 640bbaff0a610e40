"""The writer's side of one state.db: runs operations, captures what they change, applies what others wrote.

Synchronous and used by one task at a time through a runner. A transaction opened by `prepare` stays open until `commit`
or `rollback`: meanwhile the log decides whether the entry takes its place.
"""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import apsw
import msgspec

from paasd.errors import TooLarge, Unprocessable
from paasd.state.engine.capture import Capture
from paasd.state.engine.changes import Touched, touched_rows
from paasd.state.engine.connection import Guard, StateDamaged, damaged, explained
from paasd.state.engine.older import Older, unshadow
from paasd.state.engine.schema import ENGINE_VERSION, SchemaError, broken_rules
from paasd.state.engine.standing import (
    LogKind,
    Standing,
    copy_into,
    make_engine_tables,
    set_log,
    standing_of,
    upgrade_engine_tables,
)
from paasd.state.lacking import Lacking
from paasd.state.log.entries import (
    NO_HASH,
    Entry,
    LogDamaged,
    Migration,
    OperationId,
    decode_entry,
    encode_entry,
    entry_hash,
)
from paasd.state.operations import Operation
from paasd.state.transactions import Tx

R = TypeVar("R")

_META: Final = "SELECT position, hash, schema, log_identity, engine FROM state_meta"
_MOVE: Final = "UPDATE state_meta SET position = ?, hash = ?, schema = ?"
_LOCAL_ENTRY: Final = "INSERT INTO state_entries (position, data) VALUES (?, ?)"
_KNOWN_REQUEST: Final = "SELECT operation, result FROM state_requests WHERE request_id = ?"
_NEW_REQUEST: Final = "INSERT INTO state_requests VALUES (?, ?, ?, ?)"


class Call(msgspec.Struct, Generic[R], kw_only=True):
    """One operation that somebody waits for. After `prepare` it has a result or an error."""

    operation: Operation[Any, R]
    arguments: Any
    request_id: str
    may_be_repeated: bool
    result: R | None = None
    error: Exception | None = None


class Prepared(msgspec.Struct, kw_only=True):
    """An open transaction and the entry that stands for it; without `data` nothing changed and nothing is open."""

    calls: list[Call[Any]]
    index: int = 0
    data: bytes | None = None
    schema: int = 0
    touched: Touched | None = frozenset()


class Applied(msgspec.Struct, frozen=True):
    """An entry that is now part of the database; `touched` is None for a migration, which may touch anything."""

    index: int
    touched: Touched | None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    group_bytes: int
    operation_bytes: int


class Replica:
    """One state.db as its writer sees it."""

    def __init__(
        self, connection: apsw.Connection, path: Path, *, origin: str, limits: Limits, older: Older | None = None
    ) -> None:
        self.connection = self._connection = connection
        self.path = self._path = path
        self._origin = origin
        self._limits = limits
        self._guard = Guard(connection)
        self._older = older or Older(())
        self._lacking = Lacking()
        self._shown: int | None = None  # the schema whose lacks are shadowed
        self.index = 0
        self.hash = NO_HASH
        self.schema = 0
        self.identity = ""

    def open(self, identity: str | None, kind: LogKind) -> None:
        """Read where this database stands, making the engine's tables if it is new. Raises StateDamaged."""
        with explained(self._path):
            if not self._rows("SELECT 1 FROM sqlite_schema LIMIT 1"):
                make_engine_tables(self._connection, identity or str(uuid.uuid4()), kind)
        self.look(identity)

    def look(self, identity: str | None = None) -> None:
        """Read where this database stands, also after another was put in its place. Raises StateDamaged."""
        with explained(self._path):
            try:
                rows = self._rows(_META)
            except apsw.SQLError as error:
                raise damaged(self._path, "it has no state_meta table") from error
            if len(rows) != 1:
                raise damaged(self._path, "its position in the log is missing")
            self.index, self.hash, self.schema, self.identity, engine = rows[0]
            if engine > ENGINE_VERSION:
                raise StateDamaged(f"{self._path} was written by a newer paasd; upgrade this node")
            if engine < ENGINE_VERSION:
                upgrade_engine_tables(self._connection)
            self._shown = None
        if identity is not None and identity != self.identity:
            raise StateDamaged(
                f"{self._path} belongs to log {self.identity}, not {identity}; restore a snapshot of that log"
            )

    def load(self, file: Path) -> None:
        """Put the content of a snapshot in place of what is here, all or nothing; readers see one or the other."""
        self.rollback()
        with explained(self._path):
            copy_into(self._connection, file)
        self.look()

    def _shadow(self) -> None:
        """For operations alone: migrations follow each other, and what each of them lacks is seen by nobody."""
        if self._shown != self.schema:
            self._lacking = self._older.shadow(self._connection, self.schema)
            self._shown = self.schema

    def standing(self) -> Standing:
        """Which log it uses, and how far it is."""
        return standing_of(self._connection)

    def note_log(self, kind: LogKind) -> None:
        """From the next start on, and certain: the log is this one, and has begun."""
        with explained(self._path):
            set_log(self._connection, kind)

    def leave_local(self, kind: LogKind) -> tuple[Applied, bytes]:
        """In one transaction: a last local entry, and that a log of this kind, which begins with it, is used next."""
        index = self.index + 1
        data = encode_entry(
            Entry(
                index=index,
                kind="data",
                id=f"base-{index}",
                origin=self._origin,
                previous=self.hash,
                schema=self.schema,
            )
        )
        with explained(self._path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(_LOCAL_ENTRY, (index, data))
                set_log(self._connection, kind, index)
                self._move(index, entry_hash(data), self.schema)
                self._connection.execute("COMMIT")
            except BaseException:
                self.rollback()
                raise
        self.index, self.hash = index, entry_hash(data)
        return Applied(index, frozenset()), data

    def local_entry(self, index: int) -> bytes:
        """An entry that `leave_local` wrote."""
        return bytes(self._rows("SELECT data FROM state_entries WHERE position = ?", index)[0][0])

    def prepare(self, calls: Sequence[Call[Any]], now_s: float, random_bits: Callable[[int], int]) -> Prepared:
        """Run the calls, each in its own savepoint, until the entry is large enough; leave the transaction open.

        Raises DiskFull, StateDamaged or apsw.Error with the transaction rolled back and nothing changed.
        """
        with explained(self._path):
            try:
                self._shadow()
                return self._prepare(calls, now_s, random_bits)
            except BaseException:
                self.rollback()
                raise

    def _prepare(self, calls: Sequence[Call[Any]], now_s: float, random_bits: Callable[[int], int]) -> Prepared:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._session() as session:
            done: list[Call[Any]] = []
            for call in calls:
                self._run(call, now_s, random_bits)
                done.append(call)
                if session.changeset_size > self._limits.group_bytes:
                    break
            changeset = session.changeset()
        if len(changeset) > self._limits.operation_bytes:
            return self._too_large(done, len(changeset), now_s, random_bits)
        if not changeset:
            self.rollback()
            return Prepared(calls=done)
        names = tuple(
            OperationId(call.request_id, call.operation.name, call.operation.version)
            for call in done
            if call.error is None
        )
        entry = Entry(
            index=self.index + 1,
            kind="data",
            id=f"{random_bits(128):032x}",
            origin=self._origin,
            previous=self.hash,
            schema=self.schema,
            operations=names,
            payload=changeset,
        )
        return Prepared(
            calls=done,
            index=entry.index,
            data=encode_entry(entry),
            schema=self.schema,
            touched=touched_rows(changeset),
        )

    def _too_large(self, done: list[Call[Any]], size: int, now_s: float, random_bits: Callable[[int], int]) -> Prepared:
        """The last call made it too large: alone it is refused, otherwise it has to wait for a group of its own."""
        self.rollback()
        if len(done) > 1:
            return self._prepare(done[:-1], now_s, random_bits)
        limit = self._limits.operation_bytes
        done[0].error = TooLarge(f"{done[0].operation.name} changes {size} bytes at once; the limit is {limit}")
        return Prepared(calls=done)

    def _run(self, call: Call[Any], now_s: float, random_bits: Callable[[int], int]) -> None:
        call.result = call.error = None
        tx = Tx(self._connection, now_s, random_bits, self._lacking)
        self._connection.execute("SAVEPOINT operation")
        self._guard.mode = "operation"
        try:
            self._run_once(call, tx)
            self._connection.execute("RELEASE operation")
        except (apsw.FullError, apsw.CorruptError, apsw.IOError, apsw.NotADBError, apsw.NoMemError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever an operation raises belongs to whoever asked for it)
            call.error = error
            self._connection.execute("ROLLBACK TO operation")
            self._connection.execute("RELEASE operation")
        finally:
            self._guard.mode = "engine"
            tx.close()

    def _run_once(self, call: Call[Any], tx: Tx) -> None:
        name = f"{call.operation.name}@{call.operation.version}"
        if call.may_be_repeated:
            for known, result in self._rows(_KNOWN_REQUEST, call.request_id):
                if known != name:
                    raise Unprocessable(f"request id {call.request_id} was already used for {known}")
                call.result = call.operation.result_decoder.decode(result)
                return
        call.result = call.operation.function(tx, call.arguments)
        stored = call.operation.encode_result(call.result)
        self._connection.execute(_NEW_REQUEST, (call.request_id, int(tx.now_s), name, stored))

    def prepare_migration(self, migration: Migration, entry_id: str) -> Prepared:
        """Run a migration in a transaction that stays open. Raises SchemaError when it breaks a rule of the schema."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._migrate(migration)
        except BaseException:
            self.rollback()
            raise
        entry = Entry(
            index=self.index + 1,
            kind="ddl",
            id=entry_id,
            origin=self._origin,
            previous=self.hash,
            schema=self.schema,
            payload=msgspec.msgpack.encode(migration),
        )
        return Prepared(calls=[], index=entry.index, data=encode_entry(entry), schema=migration.number, touched=None)

    def _migrate(self, migration: Migration) -> None:
        self._shown = None
        unshadow(self._connection)
        try:
            self._connection.execute(migration.script).fetchall()
        except apsw.SQLError as error:
            raise SchemaError(f"migration {migration.number} {migration.name}: {error}") from error
        broken = broken_rules(self._connection)
        if broken:
            raise SchemaError(f"migration {migration.number} {migration.name}: {'; '.join(broken)}")

    def commit(self, prepared: Prepared) -> Applied:
        """Make the open transaction durable. Raises DiskFull or apsw.Error with nothing changed."""
        assert prepared.data is not None
        digest = entry_hash(prepared.data)
        with explained(self._path):
            self._move(prepared.index, digest, prepared.schema)
            self._connection.execute("COMMIT")
        self.schema = prepared.schema
        self.index, self.hash = prepared.index, digest
        return Applied(prepared.index, prepared.touched)

    def rollback(self) -> None:
        """End the open transaction, if SQLite has not done so itself."""
        if not self._connection.get_autocommit():
            self._connection.execute("ROLLBACK")

    def apply(self, entries: Sequence[bytes]) -> list[Applied]:
        """Apply entries that others appended, all or none. Raises LogDamaged, StateDamaged, DiskFull."""
        position = _Position(self.index, self.hash, self.schema)
        applied = []
        with explained(self._path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for data in entries:
                    position, touched = self._apply(position, data)
                    applied.append(Applied(position.at, touched))
                self._move(*position)
                self._connection.execute("COMMIT")
            except BaseException:
                self.rollback()
                raise
        # Not before COMMIT: who waits for an entry reads the moment the index has it, from another thread.
        self.schema = position.schema
        self.index, self.hash = position.at, position.hash
        return applied

    def _apply(self, position: "_Position", data: bytes) -> tuple["_Position", Touched | None]:
        entry = decode_entry(data)
        if entry.index != position.at + 1 or entry.previous != position.hash:
            raise LogDamaged(
                f"entry {entry.index} of the log does not follow entry {position.at} of {self._path}; "
                "restore this node from a snapshot of the cluster"
            )
        if entry.schema != position.schema:
            raise LogDamaged(f"entry {entry.index} was written for schema {entry.schema}, this is {position.schema}")
        digest = entry_hash(data)
        if entry.kind == "ddl":
            migration = msgspec.msgpack.decode(entry.payload, type=Migration)
            self._migrate(migration)
            return _Position(entry.index, digest, migration.number), None
        self._apply_changeset(entry)
        return _Position(entry.index, digest, position.schema), touched_rows(entry.payload)

    def _apply_changeset(self, entry: Entry) -> None:
        conflicts: list[str] = []

        def refuse(reason: int, change: apsw.TableChange) -> int:
            conflicts.append(f"{change.op} in {change.name}")
            return apsw.SQLITE_CHANGESET_ABORT

        try:
            apsw.Changeset.apply(
                entry.payload,
                self._connection,
                conflict=refuse,
                flags=apsw.SQLITE_CHANGESETAPPLY_FKNOACTION,
            )
        except apsw.AbortError as error:
            raise damaged(self._path, f"entry {entry.index} does not fit: {', '.join(conflicts)}") from error

    def _move(self, index: int, digest: bytes, schema: int) -> None:
        self._connection.execute(_MOVE, (index, digest, schema))

    def _session(self) -> Capture:
        return Capture(self._connection)

    def _rows(self, text: str, *values: Any) -> list[Any]:
        return self._connection.execute(text, values).fetchall()


class _Position(NamedTuple):
    """How far a database is: its newest entry, the hash of that, and the newest migration."""

    at: int
    hash: bytes
    schema: int
