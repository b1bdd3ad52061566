"""Generate `gen/` from `protos/`: Python stubs with types, and the descriptors that the edge serves.

`python tools/generate.py` writes the tree; `--check` compares it with what is committed and changes nothing.
`--image FILE` writes only a descriptor set, without imported files, for `buf lint` and `buf breaking`.
"""

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"
VALIDATE = "buf/validate/validate.proto"
DESCRIPTORS = Path("chatmesh/descriptors.binpb")


def _sources() -> list[str]:
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def _run_protoc(*arguments: str, validate_set: Path) -> None:
    """Run the bundled protoc; `buf/validate` has no .proto in any wheel, so its descriptors go in as a set."""
    packages = Path(grpc_tools.__file__).parent.parent
    includes = [PROTOS, packages / "grpc_tools" / "_proto", packages]
    command = ["protoc", *(f"-I{path}" for path in includes), f"--descriptor_set_in={validate_set}", *arguments]
    if protoc.main(command) != 0:
        raise SystemExit("protoc refused the protos: see the lines above")


def _write_validate_set(path: Path) -> None:
    """Write buf.validate's descriptors, as its own wheel carries them, with the google files it imports."""
    found: dict[str, bytes] = {}

    def collect(file: object) -> None:
        for dependency in file.dependencies:  # type: ignore[attr-defined]
            collect(dependency)
        found.setdefault(file.name, file.proto.to_binary())  # type: ignore[attr-defined]

    collect(validate_pb.Violation.desc().file)
    descriptors = FileDescriptorSet()
    for name, data in found.items():
        file = FileDescriptorProto.FromString(data)
        file.name = name if name.endswith(".proto") else f"{name}.proto"
        descriptors.file.append(file)
    path.write_bytes(descriptors.SerializeToString(deterministic=True))


def generate(target: Path) -> None:
    """Write the whole generated tree below `target`, which must exist and be empty."""
    with tempfile.TemporaryDirectory() as scratch:
        validate_set = Path(scratch) / "validate.binpb"
        _write_validate_set(validate_set)
        _run_protoc(
            f"--python_out={target}",
            f"--mypy_out={target}",
            VALIDATE,
            *_sources(),
            validate_set=validate_set,
        )
        _run_protoc(
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out={target}",
            *(source for source in _sources() if "\nservice " in (PROTOS / source).read_text()),
            validate_set=validate_set,
        )
    write_image(target / DESCRIPTORS)


def write_image(target: Path) -> None:
    """Write the project's own files, comments included, and their imports as one descriptor set."""
    with tempfile.TemporaryDirectory() as scratch:
        validate_set = Path(scratch) / "validate.binpb"
        _write_validate_set(validate_set)
        _run_protoc(
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={target}",
            *_sources(),
            validate_set=validate_set,
        )


def _differences(comparison: filecmp.dircmp[str], prefix: str = "") -> list[str]:
    names = [*comparison.left_only, *comparison.right_only, *comparison.diff_files]
    found = [prefix + name for name in names if name != "__pycache__"]
    for name, below in comparison.subdirs.items():
        if name != "__pycache__":
            found += _differences(below, f"{prefix}{name}/")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if gen/ is not what protos/ gives")
    parser.add_argument("--image", type=Path, metavar="FILE", help="write a descriptor set and stop")
    options = parser.parse_args()
    if options.image:
        write_image(options.image)
        return
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "gen"
        fresh.mkdir()
        generate(fresh)
        if options.check:
            stale = _differences(filecmp.dircmp(fresh, GEN)) if GEN.exists() else ["everything"]
            if stale:
                sys.exit(f"gen/ is stale: {', '.join(sorted(stale))}. Run `make gen` and commit the result.")
            return
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(fresh, GEN)


if __name__ == "__main__":
    main()
