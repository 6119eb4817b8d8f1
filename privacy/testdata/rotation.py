#!/usr/bin/env python3
"""Known answers for the rotation (PROTOCOL section 6), made without the Go code.

Needs the `cryptography` package. Run: python3 rotation.py > rotation.json
The transform is written as its definition, a sum over all entries.
"""
import hashlib
import hmac
import json
import math

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def derive(secret, label):
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(prk, b"veilsum/1/" + label + b"\x01", hashlib.sha256).digest()


def signs(round_id, bits):
    words = -(-bits // 64)
    ctr = Cipher(algorithms.AES256(derive(round_id, b"rot")), modes.CTR(bytes(16))).encryptor()
    raw = ctr.update(bytes(8 * words))
    return [int.from_bytes(raw[8 * i : 8 * i + 8], "little") for i in range(words)]


def transform(x, words, first):
    w = len(x)
    bit = lambda k: words[k // 64] >> (k % 64) & 1
    y = [-v if bit(first + i) else v for i, v in enumerate(x)]
    h = lambda i: sum(-v if (i & j).bit_count() & 1 else v for j, v in enumerate(y))
    return [h(i) / math.sqrt(w) for i in range(w)]


cases = []
for d in [1, 2, 3, 8, 33, 64, 100, 129]:
    round_id = b"%-32d" % d
    w = 1 << (d.bit_length() - 1)
    words = signs(round_id, 2 * w)
    x = [((7 * i * i + 3 * i + d) % 257) / 128 - 1 for i in range(d)]
    y = list(x)
    y[:w] = transform(y[:w], words, 0)
    if w < d:
        y[d - w :] = transform(y[d - w :], words, w)
    cases.append({"round_id": round_id.decode(), "values": d, "signs": ["%016x" % v for v in words], "input": x, "output": y})
print(json.dumps(cases, indent=1))
