"""Descriptor sets as they come from files and servers: put in order, with their imports, only the services wanted."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

Files = Mapping[str, FileDescriptorProto]


class StartError(Exception):
    """It cannot start; the message is what the person who starts it reads."""


def read(path: Path) -> Files:
    """The files of a serialized FileDescriptorSet by name; raises StartError."""
    try:
        found = FileDescriptorSet.FromString(path.read_bytes())
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except DecodeError:
        raise StartError(f"{path} is not a serialized google.protobuf.FileDescriptorSet") from None
    if not found.file or not all(file.name for file in found.file):
        raise StartError(f"{path} is not a descriptor set: it holds no files")
    return {file.name: file for file in found.file}


def services_of(files: Files) -> set[str]:
    """The full names of all services."""
    return {_full_name(file, service.name) for file in files.values() for service in file.service}


def serialized(files: Files, services: Collection[str]) -> bytes:
    """A FileDescriptorSet with every file after its imports, and of the services only the given ones.

    Raises StartError for an import that is not there, and for files that are no valid descriptors.
    """
    ordered: dict[str, FileDescriptorProto] = {}
    for name in files:
        _add(name, files, ordered)
    _check(ordered.values())
    chosen = FileDescriptorSet(file=ordered.values())
    for file in chosen.file:
        kept = [service for service in file.service if _full_name(file, service.name) in services]
        del file.service[:]
        file.service.extend(kept)
    return chosen.SerializeToString()


def _check(files: Iterable[FileDescriptorProto]) -> None:
    """Let google's runtime look at the files, which says what is wrong; the transcoder's takes their word for it."""
    pool = DescriptorPool()
    for file in files:
        try:
            pool.Add(file)
        except (TypeError, DecodeError) as error:
            raise StartError(f"{file.name}: {error}".partition("\n")[0]) from None


def _add(name: str, files: Files, ordered: dict[str, FileDescriptorProto]) -> None:
    """Add a file behind its imports: depth first, with a stack of its own, as an import chain may be long."""
    waiting = [(name, "")]
    entered: set[str] = set()
    while waiting:
        current, importer = waiting[-1]
        file = files.get(current)
        if file is None:
            raise StartError(
                f"{importer} imports {current}, which the descriptor set lacks: make it with --include_imports"
            )
        missing = [other for other in file.dependency if other not in ordered and other not in entered]
        entered.add(current)
        if missing:
            waiting.extend((other, current) for other in missing)
        else:
            ordered[current] = file
            waiting.pop()


def _full_name(file: FileDescriptorProto, name: str) -> str:
    return f"{file.package}.{name}" if file.package else name
