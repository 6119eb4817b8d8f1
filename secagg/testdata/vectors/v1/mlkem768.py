"""ML-KEM-768 from FIPS 203, in plain integers.

For test vectors only: it is slow and does not run in constant time.
Names follow the algorithms of FIPS 203.
"""

import hashlib

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4
EK_BYTES, CT_BYTES = 384 * K + 32, 32 * (DU * K + DV)


def _brv7(i):
    return int(f"{i:07b}"[::-1], 2)


_ZETA = [pow(17, _brv7(i), Q) for i in range(128)]
_GAMMA = [pow(17, 2 * _brv7(i) + 1, Q) for i in range(128)]


def _bytes_to_ints(b, d):
    """ByteDecode_d (algorithm 6), without the reduction of d = 12."""
    v, mask = int.from_bytes(b, "little"), (1 << d) - 1
    return [(v >> (d * i)) & mask for i in range(8 * len(b) // d)]


def _ints_to_bytes(a, d):
    """ByteEncode_d (algorithm 5)."""
    v = 0
    for i, x in enumerate(a):
        v |= x << (d * i)
    return v.to_bytes(len(a) * d // 8, "little")


def _compress(a, d):
    return [(((x << d) + Q // 2) // Q) % (1 << d) for x in a]


def _decompress(a, d):
    return [(x * Q + (1 << (d - 1))) >> d for x in a]


def _sample_ntt(seed):
    """SampleNTT (algorithm 7)."""
    out, size = [], 672
    while len(out) < N:
        stream, out = hashlib.shake_128(seed).digest(size), []
        for i in range(0, size, 3):
            b0, b1, b2 = stream[i : i + 3]
            for x in (b0 + 256 * (b1 % 16), b1 // 16 + 16 * b2):
                if x < Q and len(out) < N:
                    out.append(x)
        size *= 2
    return out


def _sample_cbd(b):
    """SamplePolyCBD_eta (algorithm 8) for eta = 2."""
    bits = [(byte >> i) & 1 for byte in b for i in range(8)]
    return [
        (sum(bits[2 * i * ETA : (2 * i + 1) * ETA]) - sum(bits[(2 * i + 1) * ETA : (2 * i + 2) * ETA])) % Q
        for i in range(N)
    ]


def _ntt(f):
    """NTT (algorithm 9)."""
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = _ZETA[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def _intt(f):
    """NTT^-1 (algorithm 10)."""
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = _ZETA[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def _mul(f, g):
    """MultiplyNTTs (algorithm 11)."""
    h = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a0 * b0 + a1 * b1 * _GAMMA[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return h


def _add(f, g):
    return [(x + y) % Q for x, y in zip(f, g)]


def _dot(u, v):
    out = [0] * N
    for f, g in zip(u, v):
        out = _add(out, _mul(f, g))
    return out


def _prf(s, b):
    return _sample_cbd(hashlib.shake_256(s + bytes([b])).digest(64 * ETA))


def _g(x):
    h = hashlib.sha3_512(x).digest()
    return h[:32], h[32:]


def _h(x):
    return hashlib.sha3_256(x).digest()


def _matrix(rho):
    return [[_sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def keygen(seed):
    """ML-KEM.KeyGen_internal (algorithm 16); seed is d || z. Returns (ek, dk)."""
    d, z = seed[:32], seed[32:]
    rho, sigma = _g(d + bytes([K]))
    a = _matrix(rho)
    s = [_ntt(_prf(sigma, i)) for i in range(K)]
    e = [_ntt(_prf(sigma, K + i)) for i in range(K)]
    t = [_add(_dot(a[i], s), e[i]) for i in range(K)]
    ek = b"".join(_ints_to_bytes(f, 12) for f in t) + rho
    dk = b"".join(_ints_to_bytes(f, 12) for f in s)
    return ek, dk + ek + _h(ek) + z


def _encrypt(ek, m, r):
    """K-PKE.Encrypt (algorithm 14)."""
    t = [_bytes_to_ints(ek[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    a = _matrix(ek[384 * K :])
    y = [_ntt(_prf(r, i)) for i in range(K)]
    e1 = [_prf(r, K + i) for i in range(K)]
    e2 = _prf(r, 2 * K)
    u = [_add(_intt(_dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    mu = _decompress(_bytes_to_ints(m, 1), 1)
    v = _add(_add(_intt(_dot(t, y)), e2), mu)
    c1 = b"".join(_ints_to_bytes(_compress(f, DU), DU) for f in u)
    return c1 + _ints_to_bytes(_compress(v, DV), DV)


def encaps(ek, m):
    """ML-KEM.Encaps_internal (algorithm 17) after the modulus check. Returns (key, ct)."""
    if len(ek) != EK_BYTES or any(x >= Q for x in _bytes_to_ints(ek[: 384 * K], 12)):
        raise ValueError("ml-kem: bad encapsulation key")
    key, r = _g(m + _h(ek))
    return key, _encrypt(ek, m, r)


def decaps(dk, c):
    """ML-KEM.Decaps_internal (algorithm 18)."""
    if len(c) != CT_BYTES:
        raise ValueError("ml-kem: bad ciphertext length")
    s, ek = dk[: 384 * K], dk[384 * K : 768 * K + 32]
    h, z = dk[768 * K + 32 : 768 * K + 64], dk[768 * K + 64 :]
    size = 32 * DU
    u = [_decompress(_bytes_to_ints(c[size * i : size * (i + 1)], DU), DU) for i in range(K)]
    v = _decompress(_bytes_to_ints(c[size * K :], DV), DV)
    shat = [_bytes_to_ints(s[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    w = _intt(_dot(shat, [_ntt(f) for f in u]))
    m = _ints_to_bytes(_compress([(x - y) % Q for x, y in zip(v, w)], 1), 1)
    key, r = _g(m + h)
    return key if _encrypt(ek, m, r) == c else hashlib.shake_256(z + c).digest(32)
