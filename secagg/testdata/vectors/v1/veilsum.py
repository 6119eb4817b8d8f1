"""PROTOCOL.md in plain integers: an implementation independent of the Go code.

For test vectors only: slow, and not constant time. Section numbers are those of
PROTOCOL.md.
"""

import base64
import hashlib
import itertools
import math
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import hpke

PREFIX = b"veilsum/1/"
SIGMA_S = 4.6

# Section 2: (N, F) -> Q.
MODULI = {
    16: (1024, 61441), 17: (1024, 120833), 18: (1024, 249857),
    19: (1024, 520193), 20: (1024, 1038337), 21: (1024, 2056193),
    22: (1024, 4188161), 23: (1024, 8380417), 24: (1024, 16760833),
    25: (2048, 33550337), 26: (2048, 67104769), 27: (2048, 134176769), 28: (2048, 268369921),
    29: (2048, 536813569), 30: (2048, 1073692673), 31: (2048, 2147389441),
}  # fmt: skip


def u16(x):
    return struct.pack("<H", x)


def u32(x):
    return struct.pack("<I", x)


def u64(x):
    return struct.pack("<Q", x)


def b64(b):
    return base64.b64encode(b).decode()


def unb64(s):
    return base64.b64decode(s, validate=True)


def ints_to_bytes(values):
    """i32 little-endian, the form of integer lists in the JSON files."""
    return struct.pack(f"<{len(values)}i", *values)


def bytes_to_ints(b):
    return list(struct.unpack(f"<{len(b) // 4}i", b))


# ---- section 1


def H(label, *fields):
    h = hashlib.sha256()
    for f in (PREFIX + label.encode(), *fields):
        h.update(u64(len(f)) + f)
    return h.digest()


def sign(seed, label, *fields):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(H("sig/" + label, *fields))


def verify(public, signature, label, *fields):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, H("sig/" + label, *fields))
    except InvalidSignature:
        return False
    return True


def ed25519_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def KDF(key, label):
    return hpke.hkdf_expand(hpke.hkdf_extract(b"", key), PREFIX + label.encode(), 32)


def stream(key, i, n):
    """The first n bytes of Stream(key, i)."""
    counter = struct.pack(">Q", i) + bytes(8)
    return Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(bytes(n))


def residues(key, i, q, count):
    """The first count residues of Stream(key, i)."""
    f = q.bit_length()
    per, mask, size = 64 // f, (1 << f) - 1, 8 * count
    while True:
        out = []
        for (word,) in struct.iter_unpack("<Q", stream(key, i, size)):
            fields = [(word >> (f * j)) & mask for j in range(per)]
            out += [x for x in fields if x < q]
        if len(out) >= count:
            return out[:count]
        size *= 2


def pack(values, q):
    f, v = q.bit_length(), 0
    for i in range(0, len(values), 64):
        part = 0
        for j, x in enumerate(values[i : i + 64]):
            if not 0 <= x < q:
                raise ValueError("residue out of range")
            part |= x << (f * j)
        v |= part << (f * i)
    return v.to_bytes(len(values) * f // 8, "little")


def unpack(b, q, strict=True):
    f = q.bit_length()
    v, mask = int.from_bytes(b, "little"), (1 << f) - 1
    out = []
    for i in range(0, 8 * len(b) // f, 64):
        part = (v >> (f * i)) & ((1 << (64 * f)) - 1)
        out += [(part >> (f * j)) & mask for j in range(64)]
    out = out[: 8 * len(b) // f]
    if strict and any(x >= q for x in out):
        raise ValueError("residue out of range")
    return out


# ---- section 2


def committee_allowed(nc, t, f):
    usual = 1 <= f < t and 2 * t - nc > f and nc - f >= t and nc <= 16
    return 2 <= t and (usual or (nc, t, f) in ((5, 4, 2), (3, 3, 2)))


def committees():
    r = range(0, 18)
    return [c for c in itertools.product(r, r, r) if committee_allowed(*c)]


def blocks(n, d):
    return -(-(d + 256) // n)


# ---- section 3


def prime_factors(x):
    out, p = [], 2
    while p * p <= x:
        if x % p == 0:
            out.append(p)
            while x % p == 0:
                x //= p
        p += 1
    return out + ([x] if x > 1 else [])


def least_primitive_root(q):
    factors = prime_factors(q - 1)
    return next(g for g in range(2, q) if all(pow(g, (q - 1) // p, q) != 1 for p in factors))


def psi(n, q):
    return pow(least_primitive_root(q), (q - 1) // (2 * n), q)


def brv(k, n):
    bits = n.bit_length() - 1
    return int(f"{k:0{bits}b}"[::-1], 2)


def _dft(a, w, q):
    """[sum_n a_n w^(i n)] for i below len(a), a power of two; w has that order."""
    if len(a) == 1:
        return a
    even, odd = _dft(a[::2], w * w % q, q), _dft(a[1::2], w * w % q, q)
    low, high, power = [], [], 1
    for e, o in zip(even, odd):
        t = power * o % q
        low.append((e + t) % q)
        high.append((e - t) % q)
        power = power * w % q
    return low + high


def to_values(coefficients, q):
    """Values at psi^(2 brv(k)+1) for k = 0 ... N-1."""
    n = len(coefficients)
    p = psi(n, q)
    natural = _dft([c * pow(p, i, q) % q for i, c in enumerate(coefficients)], p * p % q, q)
    return [natural[brv(k, n)] for k in range(n)]


def to_coefficients(values, q):
    """The inverse of to_values."""
    n = len(values)
    p = psi(n, q)
    natural = _dft([values[brv(i, n)] for i in range(n)], pow(p, -2, q), q)
    inv_n, inv_p = pow(n, -1, q), pow(p, -1, q)
    return [x * inv_n * pow(inv_p, i, q) % q for i, x in enumerate(natural)]


def value_at(coefficients, x, q):
    """Horner's rule: an independent check of to_values."""
    y = 0
    for c in reversed(coefficients):
        y = (y * x + c) % q
    return y


def public_element(round_id, j, n, q):
    """a_j in value form, as expanded."""
    return residues(KDF(round_id, "a"), j, q, n)


def ring_mul(a_values, s, q):
    """a * s mod (X^N + 1, Q); a in value form, s and the result in coefficients.

    The product is one multiplication of two big integers (Kronecker substitution),
    so it shares nothing with a transform except the conversion of a.
    """
    n, width = len(s), 80  # N·Q² is below 2^74
    a = to_coefficients(a_values, q)
    x = kronecker(a, width) * kronecker([v % q for v in s], width)
    raw = x.to_bytes(2 * n * width // 8, "little")
    step = width // 8
    c = [int.from_bytes(raw[i * step : (i + 1) * step], "little") for i in range(2 * n)]
    return [(c[i] - c[i + n]) % q for i in range(n)]


def kronecker(values, width):
    """The integer sum of values[i] * 2^(i * width); width in whole bytes."""
    return int.from_bytes(b"".join(v.to_bytes(width // 8, "little") for v in values), "little")


# ---- section 4


def client_seed(u, e, round_id, h):
    return KDF(u + e + round_id + h, "client")


def sets(nc, t):
    return list(itertools.combinations(range(nc), t - 1))


def seed_of_set(r, position):
    return KDF(r, f"seed/{position}")


def prg(seed, n, q):
    return residues(KDF(seed, "prg"), 0, q, n)


def commitment(seed):
    return KDF(seed, "com")


def add_vectors(q, *vectors):
    return [sum(column) % q for column in zip(*vectors)]


def box_info(round_id, k, public):
    return PREFIX + b"box" + round_id + u32(k) + public


def box_plaintext(seeds, all_sets, k):
    return b"".join(s for s, members in zip(seeds, all_sets) if k not in members)


def encrypt_block(a_values, s, z, m, q):
    return add_vectors(q, ring_mul(a_values, s, q), z, m)


# ---- section 5


def header(p, corr_packed, root, commitments):
    """p: a dict of the header's plain fields."""
    return (
        b"VSRH" + u16(1) + u16(p["suite"]) + p["task_id"] + p["round_id"] + u64(p["epoch"]) + u32(p["lane"])
        + p["vehicle_id"] + u32(p["n"]) + u32(p["q"]) + u32(p["d"]) + u32(p["k"])
        + bytes([p["nc"], p["t"], 0, 0]) + H("corr", corr_packed) + root + b"".join(commitments)
    )  # fmt: skip


def parse_header(b):
    """The plain fields of a header or header object; raises ValueError."""
    if len(b) < 184 or b[:4] != b"VSRH":
        raise ValueError("header: bad magic or length")
    version, suite = struct.unpack("<HH", b[4:8])
    epoch, lane = struct.unpack("<QI", b[72:84])
    n, q, d, k = struct.unpack("<IIII", b[100:116])
    nc, t, zero = struct.unpack("<BBH", b[116:120])
    if version != 1 or suite not in (1, 2) or zero != 0 or (n, q) not in MODULI.values():
        raise ValueError("header: version, suite, padding or modulus")
    if not 1 <= d < 2**31 or k < 1 or not any(committee_allowed(nc, t, f) for f in range(1, 17)):
        raise ValueError("header: values, piece length or committee")
    return {
        "suite": suite, "task_id": b[8:40], "round_id": b[40:72], "epoch": epoch, "lane": lane,
        "vehicle_id": b[84:100], "n": n, "q": q, "d": d, "k": k, "nc": nc, "t": t,
        "corr_hash": b[120:152], "root": b[152:184],
    }  # fmt: skip


def pieces(packed_blocks, k):
    return [b"".join(packed_blocks[i : i + k]) for i in range(0, len(packed_blocks), k)]


def piece_hash(i, b):
    return H("piece", u32(i), b)


def root_of(piece_hashes):
    return H("pieces", b"".join(piece_hashes))


def report_id(header_bytes):
    return H("header", header_bytes)


def box_bytes(suite, nc, t):
    per = sum(1 for s in sets(nc, t) if 0 not in s)
    return hpke.ENC_BYTES[suite] + 32 * per + 16


def header_object(header_bytes, boxes, signing_seed, corr_packed):
    hashes = b"".join(H("box", b) for b in boxes)
    signature = sign(signing_seed, "report", report_id(header_bytes), hashes)
    return header_bytes + hashes + signature + b"".join(boxes) + corr_packed


def split_header_object(b):
    """Returns fields, header, commitments, box hashes, signature, boxes, corr bytes."""
    p = parse_header(b)
    count, size = math.comb(p["nc"], p["t"] - 1), box_bytes(p["suite"], p["nc"], p["t"])
    lengths = [184 + 32 * count] + [32] * p["nc"] + [64] + [size] * p["nc"] + [p["n"] * p["q"].bit_length() // 8]
    if len(b) != sum(lengths):
        raise ValueError(f"header object: {len(b)} bytes, want {sum(lengths)}")
    parts, at = [], 0
    for length in lengths:
        parts.append(b[at : at + length])
        at += length
    head, nc = parts[0], p["nc"]
    commitments = [head[184 + 32 * i : 216 + 32 * i] for i in range(count)]
    return p, head, commitments, parts[1 : nc + 1], parts[nc + 1], parts[nc + 2 : 2 * nc + 2], parts[-1]


# ---- section 8


def centre(values, q):
    return [x - q if x > q // 2 else x for x in values]


def open_sum(round_id, n, q, corr_sum, c_sums, v_sum):
    """(S, [x_j]) from the summed blocks and the sum over T of V_T."""
    s = centre([(a - b) % q for a, b in zip(corr_sum, v_sum)], q)
    xs = []
    for j, c in enumerate(c_sums):
        masked = ring_mul(public_element(round_id, j, n, q), s, q)
        xs.append(centre([(a - b) % q for a, b in zip(c, masked)], q))
    return s, xs


def passes(s, xs, reports, q):
    rms = [math.sqrt(sum(v * v for v in x) / len(x)) for x in xs]
    return max(map(abs, s)) <= 9.5 * SIGMA_S * math.sqrt(reports) and max(rms) <= 0.15 * q
