"""[scheduler], [liveness], [leases]: where instances run, when a node counts as dead, and what must run once."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class SchedulerConfig(Section, frozen=True, kw_only=True):
    """[scheduler]: how wanted instances and builds get their nodes."""

    period_s: Annotated[
        float, Meta(gt=0, description="Longest pause between two looks at the whole state; changes wake it at once.")
    ] = 10.0
    batch: Annotated[
        int, Meta(ge=1, le=500, description="Most placements in one write; more is faster and blocks others longer.")
    ] = 200
    headroom: Annotated[
        float,
        Meta(
            ge=0,
            le=0.5,
            description="Share of every node that only instances of lost nodes may take, once there are two zones;"
            " with z equal zones 1/z lets the others absorb one of them, at that cost in room.",
        ),
    ] = 0.1
    moves_at_once: Annotated[
        int, Meta(ge=1, description="Instances under way from one node to another at once; more drains sooner.")
    ] = 20
    move_patience_s: Annotated[
        float,
        Meta(
            gt=0,
            description="How long an instance waits for its successor elsewhere to run. After that a drain stops it"
            " all the same, and a rebalancing leaves it where it is.",
        ),
    ] = 600.0
    rebalance_share: Annotated[
        float,
        Meta(ge=0, le=1, description="Most of all instances that rebalancing moves at once, as a share; 0 never does."),
    ] = 0.05
    rebalance_difference: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Nothing is moved between nodes whose loads differ by less, as a share of a node.",
        ),
    ] = 0.25
    rebalance_after_s: Annotated[
        float,
        Meta(ge=0, description="Rebalancing waits until no node has come, gone or changed its state for so long."),
    ] = 60.0
    apps_on_control: Annotated[
        bool, Meta(description="Control nodes run apps and builds too, also when there are workers.")
    ] = True


class LivenessConfig(Section, frozen=True, kw_only=True):
    """[liveness]: when the others give up a node, and when they had better not."""

    dead_after_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Two witnesses must find a node unreachable for so long before it is dead; each further node"
            " that vanishes, or may have, starts the wait anew, so that a mass failure is seen as one.",
        ),
    ] = 1.0
    dead_after_limit_s: Annotated[
        float, Meta(ge=0, description="Longest such wait in all, however many more nodes vanish.")
    ] = 4.0
    brake_window_s: Annotated[
        float,
        Meta(
            gt=0,
            description="More than a third of a zone (of three nodes or more) or half of all nodes lost within this"
            " time stop all replacement, unless it is exactly one whole zone of three or more.",
        ),
    ] = 60.0
    flap_grace_s: Annotated[
        float,
        Meta(
            ge=0,
            description="A node that was dead gets no new instances for so long after its return; doubled for each"
            " further time within an hour.",
        ),
    ] = 5.0
    flap_grace_limit_s: Annotated[float, Meta(ge=0, description="Longest such wait.")] = 600.0


class LeasesConfig(Section, frozen=True, kw_only=True):
    """[leases]: what must never run twice at once, such as apps labelled paasd.io/singleton=true."""

    duration_s: Annotated[
        float,
        Meta(
            ge=3,
            description="A node that cannot renew its leases for so long stops what they are for. Longer rides out"
            " longer troubles, and makes the replacement of a lost one wait longer.",
        ),
    ] = 20.0
    margin_s: Annotated[
        float,
        Meta(gt=0, description="The others wait so much longer than that: for clocks that run at different speeds."),
    ] = 2.0
