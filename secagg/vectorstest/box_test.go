package vectorstest

import (
	"crypto/ecdh"
	"crypto/hpke"
	"testing"
)

// TestBoxes opens Python's boxes with the standard library, so that a
// difference later on is known not to lie in HPKE or in Python's ML-KEM.
func TestBoxes(t *testing.T) {
	kems := map[uint16]hpke.KEM{1: hpke.MLKEM768X25519(), 2: hpke.DHKEM(ecdh.X25519())}
	for _, v := range known(t).Box {
		key, err := kems[v.Suite].NewPrivateKey(v.Private)
		if err != nil {
			t.Fatal(err)
		}
		info := append([]byte("veilsum/1/box"), v.RoundID...)
		info = append(append(info, byte(v.Decryptor), 0, 0, 0), key.PublicKey().Bytes()...)
		equal(t, "info", info, v.Info)
		enc := len(v.Box) - len(v.Plaintext) - 16
		r, err := hpke.NewRecipient(v.Box[:enc], key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := r.Open(v.AAD, v.Box[enc:])
		if err != nil {
			t.Fatalf("suite %d: %v", v.Suite, err)
		}
		equal(t, "plaintext", plain, v.Plaintext)
	}
}
