"""The disk of blobs: what an organization's packages and droplets may take of it, counted once for each content.

Toolchains are everybody's and count for nobody. Layers that are only remembered, so that the next build finds them,
have to fit in beside what counts; otherwise the oldest are forgotten.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from paasd.model.quotas.places import Place, QuotaExceeded, limits_of, within
from paasd.model.records import App, Droplet, DropletLayer, Layer, Organization, Package, Space
from paasd.state import Condition, InSelect, IsNull, Ne, Not, ReadTx, Tx


class Spend(Protocol):
    """`Blobs.spend`: whether an organization, by guid, may have so many bytes stored today under its quota."""

    def __call__(self, owner: str, sha256: str, size_bytes: int, quota_bytes: int, *, own: bool) -> bool:
        """`own` says that the organization refers to this content already."""


MIB: Final = 1024 * 1024
FORGOTTEN_AT_ONCE: Final = 200


def stored_bytes(tx: ReadTx, place: Place) -> int:
    """What the place's packages and droplets take, and what uploads on their way said that they will."""
    return sum(_stored(tx, place).values()) + _announced(tx, place)


def of_layers(layers: Iterable[DropletLayer]) -> dict[str, int]:
    """Those of a droplet that count, by digest."""
    return {layer.sha256: layer.size_bytes for layer in layers if layer.role != "toolchain"}


def check_blobs(tx: ReadTx, space: Space, new: Mapping[str, int], *, package_guid: str = "") -> None:
    """Refuse blobs, sizes by digest, for which the quotas have no room. What is there already passes in any case.

    `package_guid` is that of the upload which they come from: what it announced is not counted again.
    """
    for place in (space, tx.need(Organization, space.organization_guid)):
        limit_mb = limits_of(tx, place).total_blobs_in_mb
        if limit_mb is None:
            continue
        stored = _stored(tx, place)
        more = sum(size for sha256, size in new.items() if sha256 not in stored)
        used = sum(stored.values()) + _announced(tx, place, Ne("guid", package_guid))
        if more and used + more > limit_mb * MIB:
            kind = "space" if isinstance(place, Space) else "organization"
            raise QuotaExceeded(
                f"total_blobs_in_mb {kind} quota exceeded: packages and droplets of {kind} '{place.name}' may take "
                f"{limit_mb} MB and take {-(-used // MIB)} MB; {-(-more // MIB)} MB more do not fit. "
                "Delete packages, droplets or apps that are not needed"
            )


def check_new(tx: ReadTx, space: Space, sha256: str, size_bytes: int, spend: Spend, *, package_guid: str = "") -> None:
    """Refuse a blob that is about to be stored: as `check_blobs`, and when the organization had too much stored today.

    What is deleted or was refused takes the disk until it is collected; what it has there already takes no more of it.
    """
    check_blobs(tx, space, {sha256: size_bytes}, package_guid=package_guid)
    organization = tx.need(Organization, space.organization_guid)
    limit_mb = limits_of(tx, organization).total_blobs_in_mb
    if not limit_mb:
        return
    remembered = tx.exists(Layer, organization_guid=organization.guid, sha256=sha256)
    own = remembered or sha256 in _stored(tx, organization)
    if not spend(organization.guid, sha256, size_bytes, limit_mb * MIB, own=own):
        raise QuotaExceeded(
            f"Organization '{organization.name}' has uploaded and built as much today as it may through this node, a "
            "few times its total_blobs_in_mb (blobs.uploads_per_day): what was deleted takes the disk until it is "
            "collected. Try again later, or ask for a larger quota"
        )


def largest_mb(tx: ReadTx, space: Space) -> int | None:
    """What no single blob can be larger than, whatever is deleted before."""
    places = (space, tx.need(Organization, space.organization_guid))
    limits = [limits_of(tx, place).total_blobs_in_mb for place in places]
    return min((limit_mb for limit_mb in limits if limit_mb is not None), default=None)


def forget_layers(tx: Tx, space: Space) -> None:
    """Forget the oldest layers that no droplet of the organization has, until they fit into its quota, too."""
    organization = tx.need(Organization, space.organization_guid)
    limit_mb = limits_of(tx, organization).total_blobs_in_mb
    if limit_mb is None:
        return
    stored = _stored(tx, organization)
    order = ("created_at",)
    kept = [row for row in tx.all(Layer, organization_guid=organization.guid, order=order) if row.sha256 not in stored]
    excess = sum(stored.values()) + sum(row.size_bytes for row in kept) - limit_mb * MIB
    for row in kept[:FORGOTTEN_AT_ONCE]:
        if excess <= 0:
            return
        tx.delete(row)
        excess -= row.size_bytes


def _stored(tx: ReadTx, place: Place) -> dict[str, int]:
    """Sizes by digest."""
    there = Not(IsNull("blob_sha256"))
    found = {
        sha256: size or 0 for sha256, size in tx.distinct(Package, ("blob_sha256", "size_bytes"), there, _of(place))
    }
    for (layers,) in tx.distinct(Droplet, ("layers",), _of(place)):
        found |= of_layers(layers)
    return found


def _announced(tx: ReadTx, place: Place, *conditions: Condition) -> int:
    return tx.total(Package, ("size_bytes",), _of(place), *conditions, state="PROCESSING_UPLOAD")


def _of(place: Place) -> Condition:
    return InSelect("app_guid", App, "guid", within(place))


__all__ = ["MIB", "check_blobs", "check_new", "forget_layers", "largest_mb", "of_layers", "stored_bytes"]
