#!/usr/bin/env python3
"""Known answers for the maps (GUARANTEE.md section 10), made without the Go code.

Needs the `cryptography` package. Run: python3 maps.py > maps.json
Rotations are written as their definition, a sum over all entries.
"""
import hashlib
import hmac
import json
import math

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Stream:
    """AES-256-CTR from the counter block (index, 0), read as little-endian words of 64 bits."""

    def __init__(self, seed, index):
        prk = hmac.new(bytes(32), seed, hashlib.sha256).digest()
        key = hmac.new(prk, b"veilsum/1/compress\x01", hashlib.sha256).digest()
        self.ctr = Cipher(algorithms.AES256(key), modes.CTR(index.to_bytes(8, "big") + bytes(8))).encryptor()

    def word(self):
        return int.from_bytes(self.ctr.update(bytes(8)), "little")

    def below(self, n):
        while True:
            product = self.word() * n
            if product % 2**64 >= 2**64 % n:
                return product >> 64


def rotate(x, stream):
    d = len(x)
    w = 1 << (d.bit_length() - 1)
    words = [stream.word() for _ in range(-(-2 * w // 64))]
    sign = lambda k: -1 if words[k // 64] >> (k % 64) & 1 else 1

    def window(y, first):
        y = [v * sign(first + i) for i, v in enumerate(y)]
        h = lambda i: sum(-v if (i & j).bit_count() & 1 else v for j, v in enumerate(y))
        return [h(i) / math.sqrt(w) for i in range(w)]

    x = window(x[:w], 0) + x[w:]
    return x if w == d else x[: d - w] + window(x[d - w :], w)


def subset(n, keep, stream):
    if keep == n:
        return list(range(n))
    chosen = set()
    for j in range(n - keep, n):
        t = stream.below(j + 1)
        chosen.add(j if t in chosen else t)
    return sorted(chosen)


def part(vectors, keep, seed, i, rotated):
    """Each vector rotated alike, of which the same places are kept."""
    n = len(vectors[0])
    if keep == n:
        return [list(v) for v in vectors]
    places = subset(n, keep, Stream(seed, 2 * i + 1))
    turned = [rotate(list(v), Stream(seed, 2 * i)) if rotated else v for v in vectors]
    return [[v[p] * math.sqrt(n / keep) for p in places] for v in turned]


def sketch(x, keep, rows, seed):
    out, width = [], keep // rows
    for row in range(rows):
        stream, sums = Stream(seed, row), [0.0] * width
        for i in range(0, len(x), 2):
            word = stream.word()
            for j, h in enumerate((word & 0xFFFFFFFF, word >> 32)):
                if i + j < len(x):
                    sums[(h >> 1) * width >> 31] += -x[i + j] if h & 1 else x[i + j]
        out += [v / math.sqrt(rows) for v in sums]
    return out


def low_rank(x, rank, shapes, seed):
    out, at, i = [], 0, 0
    for shape in shapes:
        rows = shape[0] if shape else 1
        columns = math.prod(shape[1:])
        block = x[at : at + rows * columns]
        at += rows * columns
        if rows > columns:
            vectors = [block[c::columns] for c in range(columns)]
            kept = part(vectors, min(rank, rows) if len(shape) > 1 else rows, seed, i, True)
            out += [v[k] for k in range(len(kept[0])) for v in kept]
        else:
            vectors = [block[r * columns : (r + 1) * columns] for r in range(rows)]
            for v in part(vectors, min(rank, columns) if len(shape) > 1 else columns, seed, i, True):
                out += v
        i += 1
    return out


cases = []
for number, (kind, d, keep, rows, rank, shapes) in enumerate(
    [
        ("random_k", 1, 1, 0, 0, None), ("random_k", 100, 37, 0, 0, None), ("random_k", 64, 64, 0, 0, None),
        ("srht", 64, 20, 0, 0, None), ("srht", 100, 9, 0, 0, None), ("srht", 33, 33, 0, 0, None),
        ("count_sketch", 101, 20, 1, 0, None), ("count_sketch", 100, 21, 3, 0, None),
        ("low_rank", 59, 0, 0, 3, [[4, 9], [9], [7, 2]]), ("low_rank", 62, 0, 0, 2, [[3, 2, 5], [], [31, 1]]),
    ]
):
    seed = b"%-32d" % number
    x = [((7 * i * i + 3 * i + d) % 257) / 128 - 1 for i in range(d)]
    if kind == "count_sketch":
        y = sketch(x, keep, rows, seed)
    elif kind == "low_rank":
        y = low_rank(x, rank, shapes, seed)
    else:
        y = part([x], keep, seed, 0, kind == "srht")[0]
    spec = {"Kind": kind, "Values": d, "Keep": keep, "Rows": rows, "Rank": rank, "Shapes": shapes}
    cases.append({"seed": seed.decode(), "spec": spec, "input": x, "output": y})
print(json.dumps(cases, indent=1))
