"""[state], [blobs], [logs]: what is kept, and how."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class StateConfig(Section, frozen=True, kw_only=True):
    """[state]: the replicated database."""

    write_timeout_s: Annotated[
        float,
        Meta(
            gt=0, le=300, description="How long a caller waits for a write, in seconds. Shorter answers unknown sooner."
        ),
    ] = 10.0
    queue: Annotated[
        int, Meta(ge=1, le=100_000, description="Writes that may wait for their turn; more are refused with 503.")
    ] = 2000
    group: Annotated[
        int, Meta(ge=1, le=1000, description="Most writes that share one log entry. More helps bursts, delays each.")
    ] = 64
    group_bytes: Annotated[
        int,
        Meta(ge=4096, le=1_048_576, description="A group of writes is closed above this many bytes of changes."),
    ] = 256 * 1024
    operation_bytes: Annotated[
        int,
        Meta(
            ge=4096, le=1_400_000, description="Most bytes that one write may change; etcd takes no more than 1.5 MB."
        ),
    ] = 1024 * 1024
    log_entries: Annotated[
        int,
        Meta(
            ge=10,
            le=10_000_000,
            description="Entries that the log keeps in any case; watchers and nodes that were away resume from them.",
        ),
    ] = 10_000
    away_entries: Annotated[
        int,
        Meta(
            ge=100,
            le=10_000_000,
            description="Entries that several nodes keep for one that does not take them; if it missed more, it loads"
            " another node's state when it is back. More costs disk and memory of etcd.",
        ),
    ] = 100_000
    trim_interval_s: Annotated[
        float, Meta(gt=0, description="How often the log that several nodes share is shortened, in seconds.")
    ] = 60.0
    catch_up_entries: Annotated[
        int, Meta(ge=1, le=500, description="Entries read and applied at once when others have written.")
    ] = 200
    retry_s: Annotated[
        float, Meta(gt=0, le=1, description="First pause, in seconds, before a lost or refused append is tried again.")
    ] = 0.005
    fresh_s: Annotated[
        float,
        Meta(
            gt=0,
            le=30,
            description="How long a read waits for the other nodes before it is answered from what this node has.",
        ),
    ] = 1.0
    forward_s: Annotated[
        float,
        Meta(
            gt=0, le=60, description="How long a write waits for the node that writes for all before it is done here."
        ),
    ] = 1.0
    readers: Annotated[
        int,
        Meta(ge=1, le=64, description="Reads that may be open at once; reads end without waiting, so few are needed."),
    ] = 8
    watch_keys: Annotated[
        int, Meta(ge=1, description="Changed rows remembered for a watcher that is busy; above it re-reads everything.")
    ] = 10_000
    request_memory_s: Annotated[
        float, Meta(ge=60, description="How long, in seconds, a request id gives the stored result instead of a rerun.")
    ] = 86_400.0
    snapshot_interval_s: Annotated[
        float, Meta(ge=0, description="Seconds between snapshots of the database on this node; 0 takes none.")
    ] = 86_400.0
    snapshots: Annotated[
        int, Meta(ge=1, le=100, description="Snapshots that are kept; each is as large as the data.")
    ] = 3


class BlobsConfig(Section, frozen=True, kw_only=True):
    """[blobs]: content-addressed files."""

    buffer_bytes: Annotated[
        int,
        Meta(ge=4096, le=64 * 1024 * 1024, description="Bytes written and hashed at once, held in memory per stream."),
    ] = 1024 * 1024
    threads: Annotated[
        int, Meta(ge=1, le=64, description="Blob files read or written at once; more helps fast disks only.")
    ] = 4
    collect_after_s: Annotated[
        float, Meta(ge=0, description="Seconds that a blob is kept after the last row that referred to it.")
    ] = 86_400.0
    uploads_per_day: Annotated[
        float,
        Meta(
            ge=0,
            description="What an organization may upload and build on this node in a day, in multiples of its quota"
            " total_blobs_in_mb: what was deleted takes the disk until it is collected. 0 does not bound it.",
        ),
    ] = 3.0
    reserve_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=50,
            description="Uploads and builds are refused that would leave less of the disk free, in percent: state and"
            " logs are on it too. 0 lets blobs fill it.",
        ),
    ] = 5.0
    reserve_limit_bytes: Annotated[
        int, Meta(ge=0, description="No more than so many bytes are kept free, however large the disk is.")
    ] = 5 * 1024**3


class LogsConfig(Section, frozen=True, kw_only=True):
    """[logs]: log lines kept on this node."""

    size_limit_bytes: Annotated[
        int, Meta(ge=4 * 1024 * 1024, description="Disk for all kept lines, in bytes; the oldest go first.")
    ] = 1024 * 1024 * 1024
    age_limit_s: Annotated[float, Meta(gt=0, description="Lines older than this are removed, in seconds.")] = (
        14 * 86400.0
    )
    lines_per_source: Annotated[
        int,
        Meta(ge=100, description="Lines kept of one app; a talkative app removes its own lines, not its neighbours'."),
    ] = 100_000
    line_limit_bytes: Annotated[
        int, Meta(ge=256, le=1024 * 1024, description="Longest line, in bytes; the rest is cut and a marker says so.")
    ] = 64 * 1024
    source_lines_per_s: Annotated[
        int,
        Meta(
            ge=1,
            description="Platform lines (access log, staging, API) taken of one app per second, and the burst; more are"
            " dropped and counted. What the app prints has the limit of its process instead.",
        ),
    ] = 16_000
    queue_limit_lines: Annotated[
        int, Meta(ge=100, description="Lines waiting to be written; when full, more are dropped and counted.")
    ] = 50_000
    queue_limit_bytes: Annotated[
        int, Meta(ge=64 * 1024, description="Bytes waiting to be written; bounds memory when the disk is slow.")
    ] = 32 * 1024 * 1024
    write_delay_s: Annotated[
        float, Meta(ge=0, le=5, description="How long a line may wait for others, to share a transaction with them.")
    ] = 0.02
    follower_limit_lines: Annotated[
        int,
        Meta(ge=1, description="Lines waiting for one follower; a slower follower loses lines and is told how many."),
    ] = 4_000
    trim_interval_s: Annotated[
        float, Meta(gt=0, description="How often the size and age limits are applied, in seconds.")
    ] = 15.0
    spool_lines_per_s: Annotated[
        int,
        Meta(
            ge=1000,
            description="Lines of all instances together that are read from spools per second, in turns. What comes"
            " faster fills the spool of its instance, and then is dropped and counted there; bounds the daemon's CPU.",
        ),
    ] = 40_000
    spool_poll_s: Annotated[
        float,
        Meta(gt=0, le=10, description="Longest wait before a spool is looked at again when no change was announced."),
    ] = 1.0
    spool_read_bytes: Annotated[
        int,
        Meta(ge=4096, description="Bytes of a spool taken in one step; larger steps hold up other work for longer."),
    ] = 64 * 1024
    nodes_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=30,
            description="How long, in seconds, another node may take to give its lines of an app; then the answer goes "
            "without them and says so.",
        ),
    ] = 1.0
    nodes_at_once: Annotated[
        int, Meta(ge=1, le=256, description="Nodes asked for lines at once; more answers sooner and costs memory.")
    ] = 32
    nodes_merge_s: Annotated[
        float,
        Meta(ge=0, le=5, description="How long a followed line waits for those of other nodes, to be put in order."),
    ] = 0.1
