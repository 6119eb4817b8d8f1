package secagg_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/veilsum/veilsum/secagg"
)

// FuzzReadSum: whatever is accepted is written back byte for byte.
func FuzzReadSum(f *testing.F) {
	fl := newFleet(f, literal(10))
	var buf bytes.Buffer
	_, err := fl.sum(f, fl.report(f, 0)).WriteTo(&buf)
	check(f, err)
	f.Add(buf.Bytes())
	f.Add(bytes.Repeat([]byte{0xff}, int(fl.p.SumBytes())))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := secagg.ReadSum(fl.p, bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, secagg.ErrSum) {
				t.Fatal(err)
			}
			return
		}
		var again bytes.Buffer
		_, err = s.WriteTo(&again)
		check(t, err)
		if !bytes.Equal(again.Bytes(), b[:fl.p.SumBytes()]) {
			t.Fatal("accepted a sum in another form")
		}
	})
}

// FuzzOpenBox: only the sealed box opens.
func FuzzOpenBox(f *testing.F) {
	fl := newFleet(f, literal(1))
	r := fl.report(f, 0)
	f.Add(r.boxes[0])
	f.Add(r.boxes[1])
	f.Add(make([]byte, fl.p.BoxBytes()))
	f.Fuzz(func(t *testing.T, box []byte) {
		_, err := secagg.OpenBox(fl.p, 0, fl.keys[0], fl.roundID, r.id, box, r.coms)
		if err == nil != bytes.Equal(box, r.boxes[0]) {
			t.Fatalf("error %v", err)
		}
		if err != nil && !errors.Is(err, secagg.ErrBox) {
			t.Fatal(err)
		}
	})
}

// FuzzParseRoundKey: a key that parses keeps its bytes and can be sealed to.
func FuzzParseRoundKey(f *testing.F) {
	for _, suite := range suites {
		key, err := secagg.GenerateRoundKey(suite)
		check(f, err)
		b, err := key.Bytes()
		check(f, err)
		f.Add(uint16(suite), b)
	}
	f.Add(uint16(0), []byte{})
	f.Add(uint16(2), make([]byte, 32))
	f.Fuzz(func(t *testing.T, suite uint16, b []byte) {
		key, err := secagg.ParseRoundKey(secagg.Suite(suite), b)
		if err != nil {
			if !errors.Is(err, secagg.ErrKey) {
				t.Fatal(err)
			}
			return
		}
		check(t, secagg.ValidatePublicKey(secagg.Suite(suite), key.Public()))
		stored, err := key.Bytes()
		check(t, err)
		again, err := secagg.ParseRoundKey(secagg.Suite(suite), stored)
		check(t, err)
		if !bytes.Equal(again.Public(), key.Public()) {
			t.Fatal("other public key after storage")
		}
	})
}

// FuzzParseSeeds: any bytes of the right length, and no others.
func FuzzParseSeeds(f *testing.F) {
	fl := newFleet(f, literal(1))
	f.Add(0, make([]byte, 96))
	f.Add(4, make([]byte, 96))
	f.Add(-1, []byte{})
	f.Fuzz(func(t *testing.T, k int, b []byte) {
		s, err := secagg.ParseSeeds(fl.p, k, b)
		if ok := k >= 0 && k < 4 && len(b) == 96; ok != (err == nil) {
			t.Fatalf("decryptor %d, %d bytes: %v", k, len(b), err)
		}
		if err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Fatal("other seeds")
		}
	})
}
