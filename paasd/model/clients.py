"""OAuth clients that sign in for themselves: kept as settings, changed with an audit event."""

from typing import Final

import msgspec

from paasd.errors import NotFound
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.records import Setting
from paasd.model.settings import set_setting
from paasd.state import ReadTx, StartsWith, Tx, operation

PREFIX: Final = "oauth_client/"


class _Told(msgspec.Struct):
    """What an event is to know of a client as it is kept."""

    scopes: list[str] = []
    secret_hash: str | None = None


class PutClient(Arguments):
    """Arguments of `put_client`: `value` is the client as JSON, its secret hashed."""

    client_id: str
    value: str
    scopes: list[str]
    actor: Actor


@operation("oauth_client.put", version=1)
def put_client(tx: Tx, args: PutClient) -> Setting:
    """Insert or replace."""
    former = tx.get(Setting, PREFIX + args.client_id)
    data: dict[str, object] = {"scopes": args.scopes}
    if former is not None:
        before, after = (msgspec.json.decode(text, type=_Told) for text in (former.value, args.value))
        # The hash of a secret is made with a salt: that it was sent again is all that is known.
        data |= {"before": {"scopes": before.scopes}, "secret_replaced": before.secret_hash != after.secret_hash}
    _event(tx, "audit.oauth_client.put", args.actor, args.client_id, data)
    return set_setting(tx, PREFIX + args.client_id, args.value)


class DeleteClient(Arguments):
    """Arguments of `delete_client`."""

    client_id: str
    actor: Actor


@operation("oauth_client.delete", version=1)
def delete_client(tx: Tx, args: DeleteClient) -> None:
    """It signs in no more and its tokens end. Raises NotFound."""
    found = tx.get(Setting, PREFIX + args.client_id)
    if found is None:
        raise NotFound("Client", f"There is no client '{args.client_id}'")
    tx.delete(found)
    _event(tx, "audit.oauth_client.delete", args.actor, args.client_id, {})


def client_rows(tx: ReadTx) -> list[Setting]:
    """All registered clients, by name."""
    return tx.all(Setting, StartsWith("name", PREFIX), order=("name",))


def _event(tx: Tx, event_type: str, actor: Actor, client_id: str, data: dict[str, object]) -> None:
    record_event(
        tx,
        event_type,
        actor,
        target_type="oauth_client",
        target_guid=client_id,
        target_name=client_id,
        data=data,
    )
