"""The contents of report.json: small complete rounds; see README.md."""

import hpke
import veilsum as v
from primitives import det

# name, suite, (n_c, t, f), F, d, K, LocalStdDev, clients
ROUNDS = [
    ("default committee, one block", 2, (4, 3, 1), 18, 300, 1, 64, 3),
    ("three of three, two pieces, post-quantum", 1, (3, 3, 2), 25, 2500, 1, 1000, 2),
    ("five of four, short last piece, post-quantum", 1, (5, 4, 2), 24, 2000, 2, 500, 2),
    ("widest modulus and noise", 2, (4, 3, 1), 31, 300, 1, 2**20, 2),
]


def bell(label, width, count):
    """Deterministic bell-shaped integers: sums of 12 uniform integers of odd width.

    The variance is width^2 - 1. Exactness is of no use here: how samples are
    drawn is not part of the protocol.
    """
    b, half, out = det(label, 48 * count), width // 2, []
    for i in range(count):
        words = (int.from_bytes(b[48 * i + 4 * j : 48 * i + 4 * j + 4], "little") for j in range(12))
        out.append(sum((w * width >> 32) - half for w in words))
    return out


def seal(name, p, c, publics, sigma):
    """One client's report: (JSON entry, s, x parts, seeds, corr, blocks)."""
    tag, n, q, d = f"{name}/client {c}", p["n"], p["q"], p["d"]
    u, e, h = det(f"{tag}/u"), det(f"{tag}/e"), det(f"{tag}/h")
    r = v.client_seed(u, e, p["round_id"], h)
    order, count = v.sets(p["nc"], p["t"]), v.blocks(n, d)
    s = bell(f"{tag}/s", 5, n)
    m = [w % 201 - 100 for w in det(f"{tag}/m", d)]
    z = bell(f"{tag}/z", sigma | 1, count * n)
    full = m + [0] * (count * n - d)
    seeds = [v.seed_of_set(r, i) for i in range(len(order))]
    corr = v.add_vectors(q, s, *(v.prg(seed, n, q) for seed in seeds))
    blocks = [
        v.encrypt_block(v.public_element(p["round_id"], j, n, q), s, z[j * n : j * n + n], full[j * n : j * n + n], q)
        for j in range(count)
    ]
    cut = v.pieces([v.pack(b, q) for b in blocks], p["k"])
    hashes = [v.piece_hash(i, b) for i, b in enumerate(cut)]
    root, packed_corr = v.root_of(hashes), v.pack(corr, q)
    vehicle, signing = det(f"{tag}/vehicle", 16), det(f"{tag}/ed25519")
    head = v.header(p | {"vehicle_id": vehicle}, packed_corr, root, [v.commitment(x) for x in seeds])
    report = v.report_id(head)
    plains = [v.box_plaintext(seeds, order, k) for k in range(p["nc"])]
    boxes = [
        hpke.seal(
            p["suite"], publics[k], v.box_info(p["round_id"], k, publics[k]), report, plains[k],
            det(f"{tag}/box {k}", 64 if p["suite"] == 1 else 32),
        )
        for k in range(p["nc"])
    ]  # fmt: skip
    entry = {
        "vehicle_id": v.b64(vehicle), "signing_seed": v.b64(signing), "signing_public": v.b64(v.ed25519_public(signing)),
        "u": v.b64(u), "device_secret": v.b64(e), "message_digest": v.b64(h), "client_seed": v.b64(r),
        "m": v.b64(v.ints_to_bytes(m)), "s": v.b64(v.ints_to_bytes(s)), "z": v.b64(v.ints_to_bytes(z)),
        "seeds": [v.b64(x) for x in seeds], "corr": v.b64(packed_corr), "pieces": [v.b64(b) for b in cut],
        "piece_hashes": [v.b64(x) for x in hashes], "root": v.b64(root), "report_id": v.b64(report),
        "box_plaintexts": [v.b64(x) for x in plains],
        "header_object": v.b64(v.header_object(head, boxes, signing, packed_corr)),
    }  # fmt: skip
    return entry, s, [a + b for a, b in zip(full, z)], seeds, corr, blocks


def round_of(name, suite, committee, bits, d, k, sigma, clients):
    n, q = v.MODULI[bits]
    nc, t, f = committee
    p = {
        "suite": suite, "task_id": det(f"{name}/task"), "round_id": det(f"{name}/round"), "epoch": 3, "lane": 1,
        "n": n, "q": q, "d": d, "k": k, "nc": nc, "t": t,
    }  # fmt: skip
    privates = [det(f"{name}/round key {i}") for i in range(nc)]
    publics = [hpke.public_key(suite, x) for x in privates]
    sealed = [seal(name, p, c, publics, sigma) for c in range(clients)]
    order = v.sets(nc, t)
    answers = [v.add_vectors(q, *(v.prg(seeds[i], n, q) for _, _, _, seeds, _, _ in sealed)) for i in range(len(order))]
    corr_sum = v.add_vectors(q, *(x[4] for x in sealed))
    c_sums = [v.add_vectors(q, *(x[5][j] for x in sealed)) for j in range(v.blocks(n, d))]
    s, xs = v.open_sum(p["round_id"], n, q, corr_sum, c_sums, v.add_vectors(q, *answers))
    flat = [y for x in xs for y in x]
    assert s == [sum(col) for col in zip(*(x[1] for x in sealed))], "S is not the sum of the secrets"
    assert flat == [sum(col) for col in zip(*(x[2] for x in sealed))], "x is not the sum of m + z"
    assert v.passes(s, xs, clients, q)
    return {
        "name": name,
        "params": {
            "suite": suite, "n": n, "q": q, "bits": bits, "values": d, "blocks": v.blocks(n, d),
            "witnesses": v.blocks(n, d) * n - d, "blocks_per_piece": k, "decryptors": nc, "threshold": t,
            "malicious": f, "local_std_dev": sigma,
        },
        "task_id": v.b64(p["task_id"]), "round_id": v.b64(p["round_id"]), "epoch": p["epoch"], "lane": p["lane"],
        "round_keys": [
            {"decryptor": i, "private": v.b64(privates[i]), "public": v.b64(publics[i])} for i in range(nc)
        ],
        "sets": [list(members) for members in order],
        "reports": [x[0] for x in sealed],
        "sum": v.b64(b"".join(v.pack(b, q) for b in [corr_sum] + c_sums)),
        "set_sums": [v.b64(v.pack(a, q)) for a in answers],
        "answers": [
            {"decryptor": i, "sets": [j for j, members in enumerate(order) if i not in members]} for i in range(nc)
        ],
        "S": v.b64(v.ints_to_bytes(s)),
        "x": v.b64(v.ints_to_bytes(flat)),
    }  # fmt: skip


def build():
    return {"rounds": [round_of(*r) for r in ROUNDS]}
