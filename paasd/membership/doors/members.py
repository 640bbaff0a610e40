"""What a control node answers to members: their next certificate, the platform's domains, keys by role."""

from collections.abc import Collection
from typing import Final

import msgspec
import trio

from paasd.errors import Unprocessable
from paasd.membership.doors.vault import Vault
from paasd.membership.messages import CERTIFY, DOMAIN, GOSSIP_KEYS, HERE, KEYS, CertifyRequest, DomainRequest
from paasd.packing import unpack
from paasd.peer import Peer, Peers
from paasd.peer.interface import Role

CONTROL: Final[tuple[Role, ...]] = ("control",)


def serve_members(peers: Peers, vault: Vault, domains: Collection[str]) -> None:
    """Answer from now on. `domains` are those that members get certificates for."""

    async def certify(peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return msgspec.msgpack.encode(vault.certify(peer, unpack(body, CertifyRequest).signing_request))

    async def certify_domain(peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        request = unpack(body, DomainRequest)
        if request.domain not in domains:
            raise Unprocessable(
                f"{request.domain} is no domain of this platform; set [domains] on the worker as on the control nodes"
            )
        return vault.certify_domain(request.domain, request.signing_request)

    async def gossip_keys(peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return msgspec.msgpack.encode(vault.ring())

    async def control_keys(peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return msgspec.msgpack.encode(vault.control_keys())

    async def here(peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    peers.serve(HERE, here)
    peers.serve(CERTIFY, certify)
    peers.serve(DOMAIN, certify_domain)
    peers.serve(GOSSIP_KEYS, gossip_keys)
    peers.serve(KEYS, control_keys, roles=CONTROL)
