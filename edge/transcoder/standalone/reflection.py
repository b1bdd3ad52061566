"""The descriptors of a running gRPC server, by server reflection."""

import asyncio
import importlib
import re
from collections.abc import Collection
from contextlib import suppress

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError, Message
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from edge.transcoder.standalone.descriptor_sets import StartError

# The two versions differ in their name only: the messages of v1alpha are those of v1 on the wire.
_VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_WELL_KNOWN = re.compile(r"google/(?:api|protobuf|rpc|type|longrunning)/[a-z0-9_/]+\.proto")
_SECONDS = 10.0  # for all questions together

# A stream of questions may hold one only: then nothing is written to a server that has refused the stream meanwhile.
_Ask = grpc.aio.UnaryStreamMultiCallable[Message, ServerReflectionResponse]


class _NotServed(Exception):
    """The server answered that it has no such file or symbol."""


class _VersionNotServed(Exception):
    """The server does not do this version of reflection."""


async def reflected(
    channel: grpc.aio.Channel, services: Collection[str] = ()
) -> tuple[dict[str, FileDescriptorProto], set[str]]:
    """The files that describe the services, imports included, and the full names of all services that are there.

    `services` limits the files to those services. Files of Google's that a server imports and does not serve come from
    our own packages. Raises StartError, within ten seconds.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            for version in _VERSIONS:
                with suppress(_VersionNotServed):
                    return await _Questions(_asking(channel, version)).all(services)
    except TimeoutError:
        raise StartError(f"the upstream did not describe itself within {_SECONDS:g} seconds") from None
    except grpc.aio.AioRpcError as error:
        raise StartError(f"the upstream cannot be asked for its descriptors: {_reason(error)}") from None
    raise StartError("the upstream does not do server reflection: give it --descriptor-set FILE instead")


def _asking(channel: grpc.aio.Channel, version: str) -> _Ask:
    return channel.unary_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )


class _Questions:
    """The questions to one server, one after the other."""

    def __init__(self, ask: _Ask) -> None:
        self._asking = ask
        self._files: dict[str, FileDescriptorProto] = {}

    async def all(self, services: Collection[str]) -> tuple[dict[str, FileDescriptorProto], set[str]]:
        answer = await self._ask(ServerReflectionRequest(list_services="*"))
        present = {service.name for service in answer.list_services_response.service} - set(_VERSIONS)
        for name in sorted(present & set(services) if services else present):
            try:
                await self._add(ServerReflectionRequest(file_containing_symbol=name))
            except _NotServed:
                raise StartError(f"the upstream lists {name}, and does not describe it") from None
        await self._add_imports()
        return self._files, present

    async def _add_imports(self) -> None:
        looked_at: set[str] = set()
        while waiting := self._files.keys() - looked_at:
            for name in waiting:
                looked_at.add(name)
                for imported in self._files[name].dependency:
                    if imported not in self._files:
                        await self._add_import(imported, name)

    async def _add_import(self, name: str, importer: str) -> None:
        with suppress(_NotServed):
            await self._add(ServerReflectionRequest(file_by_filename=name))
        if name not in self._files:
            self._files[name] = _well_known(name, importer)

    async def _add(self, question: ServerReflectionRequest) -> None:
        answer = await self._ask(question)
        if answer.HasField("error_response"):
            raise _NotServed
        for data in answer.file_descriptor_response.file_descriptor_proto:
            try:
                file = FileDescriptorProto.FromString(data)
            except DecodeError:
                raise StartError("the upstream describes itself in bytes that are no descriptors") from None
            self._files.setdefault(file.name, file)

    async def _ask(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        call = self._asking(question)
        try:
            async for answer in call:
                return answer
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise _VersionNotServed from None
            raise
        finally:
            call.cancel()
        raise StartError("the upstream gave no answer about its descriptors")


def _well_known(name: str, importer: str) -> FileDescriptorProto:
    """A file of Google's, from its package; only names that are such are imported, as they come from outside."""
    if not _WELL_KNOWN.fullmatch(name):
        raise StartError(f"{importer} imports {name}, which the upstream does not serve")
    try:
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    except ImportError:
        raise StartError(f"{importer} imports {name}, which neither the upstream nor this program has") from None
    file = FileDescriptorProto()
    descriptor: FileDescriptor = module.DESCRIPTOR
    descriptor.CopyToProto(file)
    return file


def _reason(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {error.details() or 'it says no more'}".partition("\n")[0]
