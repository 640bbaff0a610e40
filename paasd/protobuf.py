"""Protobuf message classes made from a short text, so that only the fields in use need to be known.

The published bindings of Envoy and etcd bring a gRPC runtime and some hundred modules with them; paasd speaks a
few dozen messages. Field numbers are those of their APIs. Unknown fields of received messages are skipped.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_SCALARS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
}


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".paasd.{kind}"


def _add_field(message: Any, line: str) -> None:
    """`number kind name`, `number repeated kind name`, `number map kind name` (keys are strings), or `number present
    kind name` for a field that is sent also when it is zero.
    """
    number, *words, name = line.split()
    field = message.field.add(name=name, number=int(number), label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    if words[0] == "present":
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"only_{name}")
        words.pop(0)
    if words[0] == "map":
        entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "1 string key")
        _add_field(entry, f"2 {words[1]} value")
        field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
        _set_type(field, f"{message.name}.{entry.name}")
    elif words[0] == "repeated":
        field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
        _set_type(field, words[1])
    else:
        _set_type(field, words[0])


def message_classes(text: str) -> dict[str, Any]:
    """Classes by name. A message starts at a line without indent; its fields are the indented lines below."""
    file = descriptor_pb2.FileDescriptorProto(name="paasd.proto", package="paasd", syntax="proto3")
    for line in text.strip().splitlines():
        if not line.startswith(" "):
            message = file.message_type.add(name=line.strip())
        elif line.strip():
            _add_field(message, line)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"paasd.{message.name}"))
        for message in file.message_type
    }
