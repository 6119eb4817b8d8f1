"""The contents of primitives.json; see README.md for the fields."""

import hashlib

import hpke
import veilsum as v


def det(label, n=32):
    """n deterministic bytes: SHA-256 of the label and a counter."""
    out, i = b"", 0
    while len(out) < n:
        out += hashlib.sha256(f"veilsum vectors/{label}/{i}".encode()).digest()
        i += 1
    return out[:n]


def digest_ints(values):
    return v.b64(hashlib.sha256(v.ints_to_bytes(values)).digest())


def summary(values):
    """How long lists of residues are given: length, SHA-256, both ends."""
    return {"count": len(values), "sha256": digest_ints(values), "first": values[:8], "last": values[-4:]}


def test_poly(q, n):
    return v.residues(det(f"poly/{q}"), 0, q, n)


def hashes():
    cases = [("x", []), ("x", [b""]), ("x", [b"", b""]), ("piece", [v.u32(7), det("piece", 100)]), ("", [det("long", 1000)])]
    return [{"label": a, "fields": [v.b64(f) for f in b], "out": v.b64(v.H(a, *b))} for a, b in cases]


def signatures():
    out = []
    for label, fields in (("report", [det("id"), det("box hashes", 128)]), ("vote", [b""])):
        seed = det(f"ed25519/{label}")
        signature = v.sign(seed, label, *fields)
        out.append({
            "seed": v.b64(seed), "public": v.b64(v.ed25519_public(seed)), "label": label,
            "fields": [v.b64(f) for f in fields], "digest": v.b64(v.H("sig/" + label, *fields)),
            "signature": v.b64(signature),
        })  # fmt: skip
    return out


def kdfs():
    cases = [(det("kdf"), "a"), (det("kdf"), "prg"), (det("kdf"), "seed/10"), (det("wide", 128), "client")]
    return [{"secret": v.b64(k), "label": a, "out": v.b64(v.KDF(k, a))} for k, a in cases]


def streams():
    out, size = [], 4096
    for i in (0, 1, 2**32, 2**64 - 1):
        b = v.stream(det("stream"), i, size)
        out.append({
            "key": v.b64(det("stream")), "index": str(i), "bytes": size,
            "first": v.b64(b[:48]), "sha256": v.b64(hashlib.sha256(b).digest()),
        })  # fmt: skip
    return out


def moduli():
    """Per modulus: residues, packing, roots and the values of a polynomial."""
    out = []
    for bits, (n, q) in v.MODULI.items():
        poly = test_poly(q, n)
        packed, values, root = v.pack(poly, q), v.to_values(poly, q), v.psi(n, q)
        for k in (0, 1, n // 2, n - 1):
            assert values[k] == v.value_at(poly, pow(root, 2 * v.brv(k, n) + 1, q), q)
        out.append({
            "n": n, "bits": bits, "q": q, "primitive_root": v.least_primitive_root(q), "psi": root,
            "key": v.b64(det(f"poly/{q}")), "index": 0, "residues": summary(poly),
            "packed": {
                "bytes": len(packed), "first": v.b64(packed[:32]), "last": v.b64(packed[-8:]),
                "sha256": v.b64(hashlib.sha256(packed).digest()),
            },
            "values": summary(values),
        })  # fmt: skip
    return out


def elements():
    round_id = det("round")
    return {
        "round_id": v.b64(round_id),
        "key": v.b64(v.KDF(round_id, "a")),
        "a": [
            {"n": n, "q": q, "block": j, "values": summary(v.public_element(round_id, j, n, q))}
            for n, q in v.MODULI.values()
            for j in (0, 1, 1000)
        ],
    }


def seeds():
    seed = det("seed")
    return {
        "seed": v.b64(seed),
        "commitment": v.b64(v.commitment(seed)),
        "prg": [{"n": n, "q": q, "residues": summary(v.prg(seed, n, q))} for n, q in v.MODULI.values()],
    }


def committees():
    out = []
    for nc, t, f in v.committees():
        order = v.sets(nc, t)
        flat = bytes(member for members in order for member in members)
        entry = {
            "decryptors": nc, "threshold": t, "malicious": f, "sets": len(order),
            "sha256": v.b64(hashlib.sha256(flat).digest()), "first": list(order[0]), "last": list(order[-1]),
        }  # fmt: skip
        if len(order) <= 10:
            entry["order"] = [list(members) for members in order]
            entry["held"] = [[i for i, m in enumerate(order) if k not in m] for k in range(nc)]
        out.append(entry)
    return out


def client():
    u, e, round_id, h = (det(x) for x in ("u", "device secret", "round", "message digest"))
    r = v.client_seed(u, e, round_id, h)
    return {
        "u": v.b64(u), "device_secret": v.b64(e), "round_id": v.b64(round_id), "message_digest": v.b64(h),
        "seed": v.b64(r), "set_seeds": [v.b64(v.seed_of_set(r, i)) for i in range(12)],
        "s_key": v.b64(v.KDF(r, "s")), "z_key": v.b64(v.KDF(r, "z")),
    }  # fmt: skip


def headers():
    out = []
    for nc, t, suite, n, q in ((4, 3, 2, 1024, 249857), (3, 3, 1, 2048, 33550337), (5, 4, 1, 1024, 16760833)):
        p = {
            "suite": suite, "task_id": det("task"), "round_id": det("round"), "epoch": 2**40 + 3, "lane": 5,
            "vehicle_id": det("vehicle", 16), "n": n, "q": q, "d": 1_000_003, "k": 16, "nc": nc, "t": t,
        }  # fmt: skip
        corr = v.pack(test_poly(q, n), q)
        commitments = [v.commitment(det(f"seed/{i}")) for i in range(len(v.sets(nc, t)))]
        b = v.header(p, corr, det("root"), commitments)
        entry = {k: (v.b64(x) if isinstance(x, bytes) else x) for k, x in p.items()}
        entry |= {
            "corr": v.b64(corr), "root": v.b64(det("root")), "commitments": [v.b64(c) for c in commitments],
            "header": v.b64(b), "report_id": v.b64(v.report_id(b)),
        }  # fmt: skip
        out.append(entry)
    return out


def piece_tree():
    blocks = [det(f"block/{i}", 48) for i in range(5)]
    cut = v.pieces(blocks, 2)
    each = [v.piece_hash(i, b) for i, b in enumerate(cut)]
    return {
        "blocks": [v.b64(b) for b in blocks], "blocks_per_piece": 2, "pieces": [v.b64(b) for b in cut],
        "piece_hashes": [v.b64(h) for h in each], "root": v.b64(v.root_of(each)),
    }  # fmt: skip


def boxes():
    out = []
    for suite in (1, 2):
        private, random = det(f"hpke/{suite}"), det(f"hpke random/{suite}", 64 if suite == 1 else 32)
        public = hpke.public_key(suite, private)
        info, aad, plain = v.box_info(det("round"), 3, public), det("report"), det("seeds", 96)
        box = hpke.seal(suite, public, info, aad, plain, random)
        assert hpke.open_box(suite, private, info, aad, box) == plain
        out.append({
            "suite": suite, "round_id": v.b64(det("round")), "decryptor": 3, "private": v.b64(private),
            "public": v.b64(public), "random": v.b64(random), "info": v.b64(info), "aad": v.b64(aad),
            "plaintext": v.b64(plain), "box": v.b64(box),
        })  # fmt: skip
    return out


def build():
    return {
        "hash": hashes(), "signature": signatures(), "kdf": kdfs(), "stream": streams(), "modulus": moduli(),
        "element": elements(), "seed": seeds(), "committee": committees(), "client": client(),
        "header": headers(), "piece": piece_tree(), "box": boxes(),
    }  # fmt: skip
