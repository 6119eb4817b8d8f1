"""HPKE (RFC 9180), base mode, single shot, HKDF-SHA256 and AES-256-GCM, for the
two suites of PROTOCOL.md section 2. For test vectors only.

Suite 1 is the KEM 0x647a of draft-ietf-hpke-pq (ML-KEM-768 with X25519, known as
X-Wing); a private key is its 32-byte seed. Suite 2 is DHKEM(X25519, HKDF-SHA256).
Randomness is an argument, so that vectors can be repeated: 32 bytes for suite 2
(the ephemeral X25519 key), 64 for suite 1 (ML-KEM's m, then the ephemeral key).
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import mlkem768

KEM_ID = {1: 0x647A, 2: 0x0020}
ENC_BYTES = {1: 1120, 2: 32}
PUBLIC_BYTES = {1: mlkem768.EK_BYTES + 32, 2: 32}
KDF_ID, AEAD_ID, NK, NN = 0x0001, 0x0002, 32, 12
XWING_LABEL = b"\\.//^\\"


def i2osp(x, n):
    return x.to_bytes(n, "big")


def hkdf_extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def hkdf_expand(prk, info, n):
    out, block, i = b"", b"", 1
    while len(out) < n:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:n]


def _labeled_extract(suite_id, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite_id + label + ikm)


def _labeled_expand(suite_id, prk, label, info, n):
    return hkdf_expand(prk, i2osp(n, 2) + b"HPKE-v1" + suite_id + label + info, n)


def _x25519_public(sk):
    return X25519PrivateKey.from_private_bytes(sk).public_key().public_bytes_raw()


def _x25519(sk, pk):
    return X25519PrivateKey.from_private_bytes(sk).exchange(X25519PublicKey.from_public_bytes(pk))


def _hybrid_keys(seed):
    """Expands a 32-byte seed into (ML-KEM ek, ML-KEM dk, X25519 secret)."""
    if len(seed) != 32:
        raise ValueError("hpke: bad private key length")
    wide = hashlib.shake_256(seed).digest(96)
    ek, dk = mlkem768.keygen(wide[:64])
    return ek, dk, wide[64:]


def public_key(suite, private):
    if suite == 2:
        return _x25519_public(private)
    ek, _, sk = _hybrid_keys(private)
    return ek + _x25519_public(sk)


def _dhkem_secret(dh, enc, pk):
    suite_id = b"KEM" + i2osp(KEM_ID[2], 2)
    prk = _labeled_extract(suite_id, b"", b"eae_prk", dh)
    return _labeled_expand(suite_id, prk, b"shared_secret", enc + pk, 32)


def _hybrid_secret(ss_pq, ss_t, ct_t, ek_t):
    return hashlib.sha3_256(ss_pq + ss_t + ct_t + ek_t + XWING_LABEL).digest()


def encap(suite, pk, random):
    if len(pk) != PUBLIC_BYTES[suite]:
        raise ValueError("hpke: bad public key length")
    if suite == 2:
        enc = _x25519_public(random)
        return _dhkem_secret(_x25519(random, pk), enc, pk), enc
    ek_pq, ek_t = pk[: mlkem768.EK_BYTES], pk[mlkem768.EK_BYTES :]
    ss_pq, ct_pq = mlkem768.encaps(ek_pq, random[:32])
    ct_t = _x25519_public(random[32:])
    return _hybrid_secret(ss_pq, _x25519(random[32:], ek_t), ct_t, ek_t), ct_pq + ct_t


def decap(suite, private, enc):
    if suite == 2:
        return _dhkem_secret(_x25519(private, enc), enc, _x25519_public(private))
    _, dk, sk = _hybrid_keys(private)
    ct_pq, ct_t = enc[: mlkem768.CT_BYTES], enc[mlkem768.CT_BYTES :]
    return _hybrid_secret(mlkem768.decaps(dk, ct_pq), _x25519(sk, ct_t), ct_t, _x25519_public(sk))


def _key_schedule(suite, shared, info):
    suite_id = b"HPKE" + i2osp(KEM_ID[suite], 2) + i2osp(KDF_ID, 2) + i2osp(AEAD_ID, 2)
    context = (
        b"\x00"
        + _labeled_extract(suite_id, b"", b"psk_id_hash", b"")
        + _labeled_extract(suite_id, b"", b"info_hash", info)
    )
    secret = _labeled_extract(suite_id, shared, b"secret", b"")
    key = _labeled_expand(suite_id, secret, b"key", context, NK)
    return AESGCM(key), _labeled_expand(suite_id, secret, b"base_nonce", context, NN)


def seal(suite, pk, info, aad, plaintext, random):
    """Returns encapsulated key || ciphertext."""
    shared, enc = encap(suite, pk, random)
    aead, nonce = _key_schedule(suite, shared, info)
    return enc + aead.encrypt(nonce, plaintext, aad)


def open_box(suite, private, info, aad, box):
    """Opens encapsulated key || ciphertext; raises on any change."""
    enc, ct = box[: ENC_BYTES[suite]], box[ENC_BYTES[suite] :]
    aead, nonce = _key_schedule(suite, decap(suite, private, enc), info)
    return aead.decrypt(nonce, ct, aad)
