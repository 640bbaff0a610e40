"""[copies], [s3]: where else blobs are kept."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class CopiesConfig(Section, frozen=True, kw_only=True):
    """[copies]: copies of blobs on other nodes. A node that is alone makes none."""

    answer_timeout_s: Annotated[
        float,
        Meta(gt=0, le=60, description="How long, in seconds, another node may take to say which blobs it has."),
    ] = 2.0
    stall_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=300,
            description="A transfer that does not move for so many seconds is given up and another node is tried. "
            "A push waits so long for a node that hangs.",
        ),
    ] = 5.0
    transfers: Annotated[
        int, Meta(ge=1, le=64, description="Blobs sent or fetched at once; each holds a few MB of memory.")
    ] = 4
    asked_at_once: Annotated[
        int,
        Meta(ge=1, le=256, description="Nodes asked at once who has a blob; more finds it sooner and costs traffic."),
    ] = 16
    repair_interval_s: Annotated[
        float,
        Meta(
            gt=0, description="Seconds between looks at whether every blob has its copies; also after a node is dead."
        ),
    ] = 300.0
    repair_again_s: Annotated[float, Meta(gt=0, description="Seconds to the next look while copies are missing.")] = (
        10.0
    )
    repair_patience_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds for which a node that cannot be reached still counts as having its copies, unless it "
            "is declared dead before; less copies more for nothing.",
        ),
    ] = 600.0
    repair_bytes_per_s: Annotated[
        int,
        Meta(
            ge=65536, description="Bytes per second that a node fetches to repair; more repairs sooner, apps feel it."
        ),
    ] = 64 * 1024 * 1024
    spare_after_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds for which a blob has to be in more places than wanted, and unused where it is one too "
            "many, before that copy is deleted: a node that came back after its blobs were copied elsewhere frees "
            "disk by that.",
        ),
    ] = 86_400.0
    repairs: Annotated[int, Meta(ge=1, le=64, description="Blobs that a node has repaired at once.")] = 2
    batch: Annotated[
        int, Meta(ge=1, le=10_000, description="Blobs that one message asks about; about 70 bytes each.")
    ] = 1000
    scrub_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds in which every blob of this node is read once and compared with its hash; 0: never.",
        ),
    ] = 14 * 86_400.0


class S3Config(Section, frozen=True, kw_only=True):
    """[s3]: an S3-compatible store that keeps blobs too; the last place from which they are fetched."""

    endpoint: Annotated[
        str, Meta(description="URL of the store, such as https://s3.eu-west-2.example; empty uses none.")
    ] = ""
    bucket: Annotated[
        str, Meta(description="Bucket; it must exist, and belong to this platform alone below prefix.")
    ] = ""
    region: Annotated[str, Meta(description="Region that signatures name.")] = "us-east-1"
    access_key: Annotated[str, Meta(description="Access key id.")] = ""
    secret_file: Annotated[
        str, Meta(description="File with the secret access key, readable by paasd alone; on every control node.")
    ] = ""
    prefix: Annotated[str, Meta(description="What the keys of all objects begin with; '/' separates folders.")] = (
        "paasd/"
    )
    ca_file: Annotated[
        str, Meta(description="PEM file with the authorities of the store's certificate; empty takes the system's.")
    ] = ""
    timeout_s: Annotated[
        float, Meta(gt=0, le=300, description="A request that does not move for so many seconds has failed.")
    ] = 20.0
    part_bytes: Annotated[
        int,
        Meta(
            ge=5 * 1024 * 1024,
            le=512 * 1024 * 1024,
            description="Blobs above this size are put in parts of it; each part is sent again as a whole if it fails.",
        ),
    ] = 64 * 1024 * 1024
    interval_s: Annotated[
        float,
        Meta(gt=0, description="Seconds between looks at what is there, what is missing and what nobody needs."),
    ] = 900.0
