"""[gossip]: how nodes notice each other's loss, and how fast what they observe spreads."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class GossipConfig(Section, frozen=True, kw_only=True):
    """[gossip]: how nodes notice each other's loss, and how fast what they observe spreads.

    The same on all nodes. SWIM with Lifeguard; a loss is known everywhere about probe_interval_s + 3 timeouts +
    suspicion_mult x probe_interval_s after it.
    """

    probe_interval_s: Annotated[
        float,
        Meta(ge=0.05, le=10, description="Time between probes, each of one node; halving it doubles the idle traffic."),
    ] = 0.5
    probe_timeout_min_s: Annotated[
        float,
        Meta(
            gt=0, le=5, description="Shortest wait for an answer, whatever the measured round trips; stalls use it up."
        ),
    ] = 0.2
    probe_timeout_limit_s: Annotated[
        float,
        Meta(gt=0, le=10, description="Longest wait for an answer; between them it is 3 x p99 of the round trip."),
    ] = 2.0
    helpers: Annotated[
        int, Meta(ge=0, le=8, description="Nodes that probe on our behalf when a node does not answer us directly.")
    ] = 3
    suspicion_mult: Annotated[
        int,
        Meta(
            ge=2,
            le=12,
            description="Shortest suspicion in probe intervals (times log10 of the nodes above ten); two less is how"
            " many further witnesses make it that short. More forgives longer stalls and finds losses later.",
        ),
    ] = 4
    suspicion_max_mult: Annotated[
        int, Meta(ge=1, le=20, description="A suspicion that nobody confirms lasts so many times longer.")
    ] = 6
    confirmers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="About how many nodes that hear of a suspicion probe the suspect at once, to confirm it or to"
            " tell it; more find a loss sooner and send more to a node in trouble.",
        ),
    ] = 12
    spread_interval_s: Annotated[
        float, Meta(ge=0.01, le=5, description="Time between rounds in which news is sent on; fresh news goes at once.")
    ] = 0.1
    fan_out: Annotated[
        int, Meta(ge=1, le=16, description="Nodes that a round sends to, one of them in another zone.")
    ] = 3
    retransmit_mult: Annotated[
        int, Meta(ge=1, le=16, description="Times log10 of the nodes: how often each node sends a piece of news on.")
    ] = 4
    packet_limit_bytes: Annotated[
        int,
        Meta(ge=576, le=1400, description="Largest datagram; above the path's limit datagrams are lost in pieces."),
    ] = 1200
    awareness_limit: Annotated[
        int, Meta(ge=0, le=16, description="By how many times a node in trouble itself slows its probes and verdicts.")
    ] = 8
    stall_s: Annotated[
        float,
        Meta(gt=0, le=5, description="A wake-up later than this is a stall of this node, and none of another's fault."),
    ] = 0.1
    reconnect_interval_s: Annotated[
        float, Meta(gt=0, le=600, description="Longest time between probes of an unreachable node, in seconds.")
    ] = 30.0
    reconnect_for_s: Annotated[
        float, Meta(gt=0, description="How long an unreachable node is probed, in seconds; it may still call later.")
    ] = 72 * 3600.0
    sync_interval_s: Annotated[
        float, Meta(gt=0, le=3600, description="Time between comparisons of everything with one node, by peer call.")
    ] = 30.0
    about_interval_s: Annotated[
        float, Meta(gt=0, le=600, description="How often a node's own figures (load, lag, clocks) are told to others.")
    ] = 5.0
    usage_age_s: Annotated[
        float, Meta(gt=0, le=600, description="Age up to which a usage sample of another node is good enough to show.")
    ] = 10.0
    garbage_limit: Annotated[
        int, Meta(ge=1, description="Malformed datagrams within a minute after which a node's news is not taken.")
    ] = 5
    quarantine_s: Annotated[
        float, Meta(gt=0, le=3600, description="How long the news of a node that sends garbage is not taken, seconds.")
    ] = 60.0
    key_grace_s: Annotated[
        float,
        Meta(ge=0, le=600, description="How long a key that left the ring still opens what slower nodes seal with it."),
    ] = 30.0
    queue_limit: Annotated[
        int, Meta(ge=16, description="Pieces of news waiting to be sent on; the most sent gives way, sync brings it.")
    ] = 2000
    tombstone_s: Annotated[
        float, Meta(ge=1, description="How long a node remembers what it dropped, to say so piece by piece, seconds.")
    ] = 600.0
