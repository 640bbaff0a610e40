"""What an instance prints, as log lines of its app."""

from paasd.logs import Line, MakeLine, Stream
from paasd.supervisor.launch import Identity
from paasd.supervisor.texts import app_source_type


def line_maker(identity: Identity) -> MakeLine:
    """Lines of an instance's output; everything that they have in common is made once."""
    source_id, instance_id = identity.app_guid, str(identity.index)
    source_type = app_source_type(identity.process_type)
    tags = {"process_type": identity.process_type, "process_instance_id": identity.instance_guid}

    def make_line(stream: Stream, at_ns: int, payload: bytes) -> Line:
        return Line(
            source_id=source_id,
            instance_id=instance_id,
            source_type=source_type,
            stream=stream,
            timestamp_ns=at_ns,
            payload=payload,
            tags=tags,
        )

    return make_line
