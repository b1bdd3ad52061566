"""Generate `gen/` from `protos/`: Python stubs with types, and the descriptors that the edge serves.

`python tools/generate.py` writes the tree; `--check` compares it with what is committed and changes nothing.
`--image FILE` writes only a descriptor set, for `buf lint` and `buf breaking`.
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
from protobuf import DescFile
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"
VALIDATE = "buf/validate/validate.proto"
DESCRIPTORS = Path("chatmesh/descriptors.binpb")


def _sources(protos: Path) -> list[str]:
    return sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))


def _run_protoc(protos: Path, *arguments: str) -> None:
    """Run the bundled protoc; `buf/validate` has no .proto in any wheel, so its descriptors go in as a set."""
    packages = Path(grpc_tools.__file__).parent.parent
    includes = [protos, packages / "grpc_tools" / "_proto", packages]
    # Named in full, because .venv need not be activated.
    plugins = [f"--plugin={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as validate_set:
        validate_set.write(_validate_set())
        validate_set.flush()
        sets = f"--descriptor_set_in={validate_set.name}"
        if protoc.main(["protoc", *plugins, *(f"-I{path}" for path in includes), sets, *arguments]) != 0:
            raise SystemExit("protoc refused the protos: see the lines above")


def _validate_set() -> bytes:
    """The descriptors of buf.validate, as its own wheel carries them, with the google files they import."""
    found: dict[str, FileDescriptorProto] = {}

    def collect(file: DescFile) -> None:
        for dependency in file.dependencies:
            collect(dependency)
        found.setdefault(file.name, FileDescriptorProto.FromString(file.proto.to_binary()))

    collect(validate_pb.Violation.desc().file)
    return FileDescriptorSet(file=found.values()).SerializeToString(deterministic=True)


def generate(target: Path) -> None:
    """Write the whole generated tree below `target`, which must exist and be empty."""
    sources = _sources(PROTOS)
    services = [source for source in sources if "\nservice " in (PROTOS / source).read_text()]
    _run_protoc(PROTOS, f"--python_out={target}", f"--mypy_out=quiet:{target}", VALIDATE, *sources)
    # Concrete: a servicer may leave RPCs to a later release, and they answer UNIMPLEMENTED.
    stubs = "quiet,generate_concrete_servicer_stubs"
    _run_protoc(PROTOS, f"--grpc_python_out={target}", f"--mypy_grpc_out={stubs}:{target}", *services)
    write_image(PROTOS, target / DESCRIPTORS)


def write_image(protos: Path, target: Path) -> None:
    """Write the descriptors of a folder of protos and of all they import, comments included, as one set."""
    flags = ("--include_imports", "--include_source_info", f"--descriptor_set_out={target}")
    _run_protoc(protos, *flags, *_sources(protos))


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
    parser.add_argument("--protos", type=Path, default=PROTOS, metavar="DIR", help="with --image: of this folder")
    options = parser.parse_args()
    if options.image:
        write_image(options.protos, options.image)
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
