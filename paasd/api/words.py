"""Fields that hold one of few words: which ones, said once for the description of the API and for who reads answers."""

import re
from typing import Annotated, Final

import msgspec

from paasd.model.deploy_tokens import MAKERS
from paasd.model.processes import HEALTH_CHECK_TYPES
from paasd.model.roles import ORGANIZATION_ROLES, SPACE_ROLES
from paasd.model.route_options import ALGORITHMS
from paasd.model.routes import PROTOCOLS, TCP_PROTOCOLS
from paasd.model.security_rules import PROTOCOLS as RULE_PROTOCOLS


def said(*words: str) -> msgspec.Meta:
    """For bodies: the description says which words are taken; others are refused in Cloud Foundry's text below."""
    return msgspec.Meta(extra_json_schema={"enum": list(words)})


def held(*words: str) -> msgspec.Meta:
    """For answers: who reads one finds any other word wrong, too. Records hold plain text, so types cannot say it."""
    pattern = f"^(?:{'|'.join(map(re.escape, words))})$"
    return msgspec.Meta(pattern=pattern, extra_json_schema={"enum": list(words)})


ROLE_TYPES: Final = ORGANIZATION_ROLES + SPACE_ROLES
NODE_ROLES: Final = ("control", "worker")

Method = Annotated[str, held("GET", "POST", "PATCH")]
"""Of links."""
AppState = Annotated[str, held("STOPPED", "STARTED")]
PackageState = Annotated[str, held("AWAITING_UPLOAD", "PROCESSING_UPLOAD", "READY", "FAILED", "EXPIRED")]
BuildState = Annotated[str, held("STAGING", "STAGED", "FAILED")]
DropletState = Annotated[str, held("AWAITING_UPLOAD", "PROCESSING_UPLOAD", "STAGED", "FAILED", "EXPIRED")]
TaskState = Annotated[str, held("PENDING", "RUNNING", "CANCELING", "SUCCEEDED", "FAILED")]
JobState = Annotated[str, held("PROCESSING", "COMPLETE", "FAILED")]
InstanceState = Annotated[str, held("STARTING", "RUNNING", "CRASHED", "DOWN")]
UsedState = Annotated[str, held("STARTED", "STOPPED", "TASK_STARTED", "TASK_STOPPED")]
UsedBefore = Annotated[str, held("STARTED", "STOPPED", "PENDING", "RUNNING", "CANCELING")]

LifecycleType = Annotated[str, held("buildpack")]
PackageType = Annotated[str, held("bits")]
SidecarOrigin = Annotated[str, held("user", "buildpack")]
HealthCheckType = Annotated[str, held(*HEALTH_CHECK_TYPES)]
RouteProtocol = Annotated[str, held("http", "tcp")]
DestinationProtocol = Annotated[str, held(*PROTOCOLS, *TCP_PROTOCOLS)]
RouterGroupType = Annotated[str, held("tcp")]
Algorithm = Annotated[str, held(*ALGORITHMS)]
PolicyProtocol = Annotated[str, held("tcp")]
RuleProtocol = Annotated[str, held(*RULE_PROTOCOLS)]

RoleType = Annotated[str, held(*ROLE_TYPES)]
DeployTokenRole = Annotated[str, held(*MAKERS)]
NodeRole = Annotated[str, held(*NODE_ROLES)]
NodeState = Annotated[str, held("JOINING", "READY", "DRAINING", "DEAD", "RETURNING", "REMOVED")]
NodeVoting = Annotated[str, held("", "JOINING", "VOTER", "LEAVING")]
