"""The build backend of the wheel (PEP 517): compiles libveilsum with Go and packs it with the Python files.

It uses the standard library only, so that a wheel is built without network. It needs Go and a C compiler, and the whole
repository around this folder. The same sources, Go and compiler give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent  # python/
LIBRARY = {"darwin": "libveilsum.dylib", "win32": "veilsum.dll"}.get(sys.platform, "libveilsum.so")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can hold


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    return []


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch) / LIBRARY
        compile_library(library)
        info = f"veilsum-{version()}.dist-info"
        tag = f"py3-none-{platform_tag(library)}"
        files = {f"veilsum/{LIBRARY}": library.read_bytes()}
        for path in sorted((HERE / "src" / "veilsum").rglob("*")):
            if path.suffix == ".py" or path.name == "py.typed":
                files[path.relative_to(HERE / "src").as_posix()] = path.read_bytes()
        files[f"{info}/METADATA"] = metadata().encode()
        files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: veilsum\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
        files[f"{info}/licenses/LICENSE"] = (HERE.parent / "LICENSE").read_bytes()
        name = f"veilsum-{version()}-{tag}.whl"
        pack(Path(wheel_directory) / name, files, f"{info}/RECORD")
        return name


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    raise RuntimeError("veilsum is built from a checkout of its repository, which this folder is a part of: pip wheel python/")


def compile_library(out: Path) -> None:
    if not (HERE.parent / "go.mod").exists():
        raise RuntimeError(f"{HERE.parent} is not the repository of veilsum: build in the checkout, with a pip of 21.3 or later")
    command = ["go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", str(out), "./python/cabi"]
    environment = os.environ | {"CGO_ENABLED": "1", "GOWORK": "off"}
    try:
        subprocess.run(command, cwd=HERE.parent, env=environment, check=True)
    except FileNotFoundError as e:
        raise RuntimeError("Go is needed to build veilsum: https://go.dev/dl") from e
    except subprocess.CalledProcessError as e:
        raise RuntimeError(f"the library does not compile (status {e.returncode}); a C compiler is needed, too") from e


def version() -> str:
    """The one place that says the version: the newest one in the changelog, or a development version before it."""
    text = (HERE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## (\d+\.\d+\.\d+)", text, re.MULTILINE)
    if found is None:
        return "0.1.0.dev0"
    return found[1] if "## Unreleased" not in text else f"{found[1]}.post0.dev0"


def platform_tag(library: Path) -> str:
    """On Linux manylinux_X_Y, by the newest symbol of glibc that the library asks for (PEP 600)."""
    machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if not sys.platform.startswith("linux"):
        return machine
    wanted = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", library.read_bytes())
    if not wanted or b"ld-musl" in library.read_bytes():
        return machine
    major, minor = max((int(a), int(b)) for a, b in wanted)
    return f"manylinux_{major}_{minor}_{machine.removeprefix('linux_')}"


def metadata() -> str:
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {version()}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        "Description-Content-Type: text/markdown",
    ]
    for extra, needs in project["optional-dependencies"].items():
        lines += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {need}; extra == "{extra}"' for need in needs)]
    return "\n".join(lines) + "\n\n" + (HERE / "README.md").read_text(encoding="utf-8")


def pack(path: Path, files: dict[str, bytes], record: str) -> None:
    rows = io.StringIO()
    out = csv.writer(rows, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        out.writerow([name, f"sha256={digest}", len(content)])
    out.writerow([record, "", ""])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in (files | {record: rows.getvalue().encode()}).items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (0o755 if name.endswith(LIBRARY) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
