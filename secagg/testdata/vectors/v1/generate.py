#!/usr/bin/env python3
"""Known answers for PROTOCOL.md, made and checked without any Go code.

    generate.py make        write primitives.json and report.json here
    generate.py check       make them again and compare byte for byte
    generate.py open FILE   verify a round made elsewhere (README.md, "veilsum-open/1")

Needs Python 3.10 or later and the package `cryptography`.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True

import opening  # noqa: E402
import primitives  # noqa: E402
import rounds  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
META = {
    "protocol": "veilsum secure sum, version 1",
    "made_by": "generate.py make",
    "binary": "base64 (RFC 4648 section 4, padded) in every string that is bytes",
    "integers": "lists in base64 are i32 little-endian; sha256 of a list is over the same form",
    "seeded_by": "SHA-256 of labels; no secret here is used anywhere else",
}


def render(body):
    return (json.dumps({"meta": META} | body, indent=1) + "\n").encode()


def files():
    return {"primitives.json": render(primitives.build()), "report.json": render(rounds.build())}


def make():
    for name, content in files().items():
        (HERE / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes")
    return 0


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def check():
    bad = 0
    for name, content in files().items():
        path = HERE / name
        have = path.read_bytes() if path.exists() else b""
        if have != content:
            at = first_difference(have, content)
            print(f"{name}: differs from byte {at}, line {content[:at].count(10) + 1}", file=sys.stderr)
            bad = 1
        else:
            print(f"{name}: equal, {len(content)} bytes")
    return bad


def open_command(path):
    try:
        print(opening.open_file(path))
    except opening.Mismatch as err:
        print(f"{path}: {err}", file=sys.stderr)
        return 1
    except (KeyError, TypeError, ValueError, OSError) as err:
        print(f"{path}: unreadable: {type(err).__name__}: {err}", file=sys.stderr)
        return 2
    return 0


def main(args):
    if args == ["make"]:
        return make()
    if args == ["check"]:
        return check()
    if len(args) == 2 and args[0] == "open":
        return open_command(args[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
