"""A protoc plugin that writes the message classes of one proto package as one module.

protoc's own Python output imports by absolute name, registers its files in the pool
of the whole process, and refuses runtimes older than the compiler. An SDK that lives
beside its users' own stubs must do none of these. So this plugin writes the
descriptors as bytes, has them loaded into a pool of their own, and describes the
classes to type checkers. It reads a CodeGeneratorRequest from standard input, as every
plugin does. Option: package=NAME, the proto package to write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

Field = descriptor_pb2.FieldDescriptorProto
Message = descriptor_pb2.DescriptorProto

HEADER = '"""Generated from proto/ by tools/protoc_gen_proglog.py. Do not edit."""\n'

SCALARS = {
    Field.TYPE_BYTES: "bytes",
    Field.TYPE_STRING: "str",
    Field.TYPE_BOOL: "bool",
    Field.TYPE_UINT64: "int",
    Field.TYPE_UINT32: "int",
    Field.TYPE_INT64: "int",
    Field.TYPE_INT32: "int",
    Field.TYPE_ENUM: "int",
}

# The bytes are broken into lines of this many, so that a change shows as one.
BYTES_IN_LINE = 24

RUNTIME = '''
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FILES = bytes.fromhex(
    """
{files}
    """
)

# A pool of our own: files of the same name in the process are others' business.
_POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(_FILES).file:
    _POOL.Add(_file)


def _message(name):
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


'''

STUB = """
from collections.abc import Iterable, Sequence
from typing_extensions import Self

class _Message:
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...
    def SerializeToString(self) -> bytes: ...
    def HasField(self, name: str) -> bool: ...
    def CopyFrom(self, other: Self) -> None: ...

"""


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    options = dict(option.split("=", 1) for option in request.parameter.split(",") if option)
    package = options["package"]
    files = list(needed(request, package))
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    module = package.replace(".", "_")
    response.file.add(name="__init__.py", content=HEADER)
    response.file.add(name=f"{module}.py", content=write_module(files))
    response.file.add(name=f"{module}.pyi", content=write_stub(files))
    sys.stdout.buffer.write(response.SerializeToString())


def needed(
    request: plugin_pb2.CodeGeneratorRequest, package: str
) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """The files of the package and those that they import, imports first."""
    by_name = {file.name: file for file in request.proto_file}
    wanted: set[str] = set()

    def want(name: str) -> None:
        if name not in wanted:
            wanted.add(name)
            for imported in by_name[name].dependency:
                want(imported)

    for file in request.proto_file:
        if file.package == package:
            want(file.name)
    for file in request.proto_file:  # protoc gives them in the order of imports
        if file.name in wanted:
            bare = descriptor_pb2.FileDescriptorProto()
            bare.CopyFrom(file)
            bare.ClearField("source_code_info")
            bare.ClearField("options")
            yield bare


def write_module(files: list[descriptor_pb2.FileDescriptorProto]) -> str:
    data = descriptor_pb2.FileDescriptorSet(file=files).SerializeToString(deterministic=True)
    lines = ["    " + data[i : i + BYTES_IN_LINE].hex() for i in range(0, len(data), BYTES_IN_LINE)]
    out = [HEADER, RUNTIME.format(files="\n".join(lines))]
    for file in files:
        for message in file.message_type:
            out.append(f'{message.name} = _message("{file.package}.{message.name}")\n')
    for file in files:
        for enum in file.enum_type:
            out.append(f"\n# {enum.name}\n")
            out.extend(f"{value.name} = {value.number}\n" for value in enum.value)
    return "".join(out)


def write_stub(files: list[descriptor_pb2.FileDescriptorProto]) -> str:
    out = [HEADER, STUB.lstrip("\n")]
    for file in files:
        for message in file.message_type:
            out.append(write_class(message))
    for file in files:
        for enum in file.enum_type:
            out.extend(f"{value.name}: int\n" for value in enum.value)
    return "".join(out)


def write_class(message: Message) -> str:
    lines = [f"class {message.name}(_Message):\n"]
    arguments = []
    for field in message.field:
        kind = type_of(field)
        if field.label == Field.LABEL_REPEATED:
            lines.append(f"    {field.name}: Sequence[{kind}]\n")
            arguments.append(f"{field.name}: Iterable[{kind}] | None = ...")
        else:
            lines.append(f"    {field.name}: {kind}\n")
            arguments.append(f"{field.name}: {kind} | None = ...")
    star = ", *, " if arguments else ""
    lines.append(f"    def __init__(self{star}{', '.join(arguments)}) -> None: ...\n\n")
    return "".join(lines)


def type_of(field: Field) -> str:
    if field.type == Field.TYPE_MESSAGE:
        return field.type_name.rsplit(".", 1)[1]
    return SCALARS[field.type]


main()
