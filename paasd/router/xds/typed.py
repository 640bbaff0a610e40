"""Extensions' configuration as JSON inside binary messages, so that their fields need no schema of ours."""

from typing import Any, Final

from google.protobuf import json_format, struct_pb2

from paasd.protobuf import message_classes

EXTENSIONS: Final = "type.googleapis.com/envoy.extensions."
"""How the types of extensions begin."""
TYPED_STRUCT_URL: Final = "type.googleapis.com/xds.type.v3.TypedStruct"

# On the wire a message inside a message is its bytes.
_TypedStruct: Any = message_classes(
    """
TypedStruct
  1 string type_url
  2 bytes value
"""
)["TypedStruct"]


def typed(config: dict[str, Any]) -> dict[str, Any]:
    """`config`, JSON with its `@type`, as an `Any`; extensions inside it may stay JSON."""
    fields = {key: value for key, value in config.items() if key != "@type"}
    struct = json_format.ParseDict(fields, struct_pb2.Struct()).SerializeToString(deterministic=True)
    body = _TypedStruct(type_url=config["@type"], value=struct).SerializeToString()
    return {"type_url": TYPED_STRUCT_URL, "value": body}
