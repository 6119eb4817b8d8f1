"""Verifies a round made elsewhere: the format "veilsum-open/1" of README.md."""

import json
import math

from cryptography.exceptions import InvalidTag

import hpke
import veilsum as v


class Mismatch(Exception):
    """The first difference found."""


def require(ok, what):
    if not ok:
        raise Mismatch(what)


def same_list(got, want, what):
    require(len(got) == len(want), f"{what}: {len(got)} entries, computed {len(want)}")
    for i, (a, b) in enumerate(zip(got, want)):
        require(a == b, f"{what}[{i}]: claimed {a}, computed {b}")


def check_header(doc, report, where):
    """Returns the parts of the header object, having checked all its hashes."""
    try:
        parts = v.split_header_object(v.unb64(report["header_object"]))
    except ValueError as err:
        raise Mismatch(f"{where}: {err}") from err
    p, head, _, box_hashes, signature, boxes, corr = parts
    for field, key in (("suite", "suite"), ("n", "n"), ("q", "q"), ("d", "values"), ("k", "blocks_per_piece"),
                       ("nc", "decryptors"), ("t", "threshold")):  # fmt: skip
        want = doc["params"][key]
        require(p[field] == want, f"{where}: header {key} is {p[field]}, want {want}")
    for field in ("task_id", "round_id"):
        require(p[field] == v.unb64(doc[field]), f"{where}: header {field} differs")
    for field in ("epoch", "lane"):
        require(p[field] == doc[field], f"{where}: header {field} is {p[field]}, want {doc[field]}")
    require(p["vehicle_id"] == v.unb64(report["vehicle_id"]), f"{where}: header vehicle id differs")
    require(v.H("corr", corr) == p["corr_hash"], f"{where}: corr hash")
    for k, box in enumerate(boxes):
        require(v.H("box", box) == box_hashes[k], f"{where}: hash of box {k}")
    key = v.unb64(report["signing_public"])
    require(v.verify(key, signature, "report", v.report_id(head), b"".join(box_hashes)), f"{where}: signature")
    return parts


def check_pieces(p, report, where):
    """Returns the residues of every block, having checked root and lengths."""
    cut = [v.unb64(b) for b in report["pieces"]]
    size, count = p["n"] * p["q"].bit_length() // 8, v.blocks(p["n"], p["d"])
    want = [size * min(p["k"], count - i) for i in range(0, count, p["k"])]
    same_list([len(b) for b in cut], want, f"{where}: piece length")
    require(v.root_of([v.piece_hash(i, b) for i, b in enumerate(cut)]) == p["root"], f"{where}: root of the pieces")
    packed = b"".join(cut)
    try:
        return [v.unpack(packed[i : i + size], p["q"]) for i in range(0, len(packed), size)]
    except ValueError as err:
        raise Mismatch(f"{where}: pieces: {err}") from err


def open_boxes(doc, p, head, commitments, boxes, where):
    """Returns the seed of every set, from the boxes whose private key is given."""
    order, seeds = v.sets(p["nc"], p["t"]), {}
    for key in doc["round_keys"]:
        if "private" not in key:
            continue
        k, private, public = key["decryptor"], v.unb64(key["private"]), v.unb64(key["public"])
        require(hpke.public_key(p["suite"], private) == public, f"round key {k}: public key differs")
        try:
            info = v.box_info(p["round_id"], k, public)
            plain = hpke.open_box(p["suite"], private, info, v.report_id(head), boxes[k])
        except InvalidTag as err:
            raise Mismatch(f"{where}: box {k} does not open") from err
        held = [i for i, members in enumerate(order) if k not in members]
        for at, i in enumerate(held):
            seed = plain[32 * at : 32 * at + 32]
            require(v.commitment(seed) == commitments[i], f"{where}: box {k}: seed of set {i}: commitment")
            seeds[i] = seed
    require(len(seeds) == len(order), f"{where}: the private keys given cover {len(seeds)} of {len(order)} sets")
    return [seeds[i] for i in range(len(order))]


def check_single(p, s, blocks, m, sigma, where):
    """A report by itself: s is small, and c - a*s is the message and noise of the right width."""
    n, q = p["n"], p["q"]
    require(max(map(abs, s)) <= 9.5 * v.SIGMA_S, f"{where}: s is not small")
    std = math.sqrt(sum(x * x for x in s) / n)
    require(abs(std / v.SIGMA_S - 1) < 0.2, f"{where}: standard deviation of s is {std:.3f}")
    noise = []
    for j, c in enumerate(blocks):
        masked = v.ring_mul(v.public_element(p["round_id"], j, n, q), s, q)
        noise += v.centre([(a - b) % q for a, b in zip(c, masked)], q)
    if m is not None:
        noise = [a - b for a, b in zip(noise, m + [0] * (len(noise) - len(m)))]
        std = math.sqrt(sum(x * x for x in noise) / len(noise))
        require(abs(std / sigma - 1) < 0.2, f"{where}: standard deviation of the noise is {std:.1f}, want {sigma}")


def check_witnesses(params, flat, reports):
    """The floor of section 8 with F_c = 0: every noise counts."""
    witnesses = flat[params["values"] :]
    w = len(witnesses)
    variance = sum(x * x for x in witnesses) / w
    floor = reports * params["local_std_dev"] ** 2 * (1 - 6 * math.sqrt(2 / w))
    require(variance >= floor, f"witness variance {variance:.1f} is below {floor:.1f}")


def open_round(doc):
    """Verifies everything; raises Mismatch naming the first difference. Returns a summary."""
    require(doc["format"] == "veilsum-open/1", f"format is {doc['format']!r}")
    params = doc["params"]
    n, q = params["n"], params["q"]
    nc, t, f = params["decryptors"], params["threshold"], params["malicious"]
    require(v.committee_allowed(nc, t, f), f"committee {(nc, t, f)} is not allowed")
    corr_sum, c_sums, v_sum = [0] * n, None, [0] * n
    set_sums = [[0] * n for _ in v.sets(nc, t)]
    ids = set()
    for r, report in enumerate(doc["reports"]):
        where = f"report {r}"
        p, head, commitments, _, _, boxes, corr = check_header(doc, report, where)
        ids.add(v.report_id(head))
        blocks = check_pieces(p, report, where)
        seeds = open_boxes(doc, p, head, commitments, boxes, where)
        if "client_seed" in report:
            root = v.unb64(report["client_seed"])
            same_list(seeds, [v.seed_of_set(root, i) for i in range(len(seeds))], f"{where}: seed")
        corr = v.unpack(corr, q)
        masks = [v.prg(seed, n, q) for seed in seeds]
        s = v.centre([(a - sum(col)) % q for a, col in zip(corr, zip(*masks))], q)
        m = v.bytes_to_ints(v.unb64(report["m"])) if "m" in report else None
        check_single(p, s, blocks, m, params["local_std_dev"], where)
        corr_sum = v.add_vectors(q, corr_sum, corr)
        c_sums = blocks if c_sums is None else [v.add_vectors(q, a, b) for a, b in zip(c_sums, blocks)]
        set_sums = [v.add_vectors(q, a, b) for a, b in zip(set_sums, masks)]
    require(len(ids) == len(doc["reports"]) > 0, "a report is listed twice, or there is none")
    if "sum" in doc:
        size, b = n * q.bit_length() // 8, v.unb64(doc["sum"])
        got = [v.unpack(b[i : i + size], q) for i in range(0, len(b), size)]
        for j, (x, y) in enumerate(zip(got, [corr_sum] + c_sums)):
            same_list(x, y, f"sum: block {j}")
        require(len(got) == 1 + len(c_sums), "sum: number of blocks")
    if "set_sums" in doc:
        for i, (x, y) in enumerate(zip(doc["set_sums"], set_sums)):
            same_list(v.unpack(v.unb64(x), q), y, f"set_sums: set {i}")
        require(len(doc["set_sums"]) == len(set_sums), "set_sums: number of sets")
    v_sum = v.add_vectors(q, *set_sums)
    s, xs = v.open_sum(v.unb64(doc["round_id"]), n, q, corr_sum, c_sums, v_sum)
    flat = [y for x in xs for y in x]
    require(v.passes(s, xs, len(ids), q), "the opening does not pass section 8")
    check_witnesses(params, flat, len(ids))
    same_list(v.bytes_to_ints(v.unb64(doc["S"])), s, "S")
    same_list(v.bytes_to_ints(v.unb64(doc["x"])), flat, "x")
    return f"{len(ids)} reports, {len(xs)} blocks of {n}, committee {(nc, t, f)}, suite {params['suite']}: all equal"


def open_file(path):
    with open(path, encoding="utf-8") as f:
        return open_round(json.load(f))
