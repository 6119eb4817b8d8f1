package vectorstest

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// primitives mirrors primitives.json, which its README describes.
type primitives struct {
	Meta meta `json:"meta"`
	Hash []struct {
		Label  string   `json:"label"`
		Fields [][]byte `json:"fields"`
		Out    []byte   `json:"out"`
	} `json:"hash"`
	Signature []struct {
		Seed      []byte   `json:"seed"`
		Public    []byte   `json:"public"`
		Label     string   `json:"label"`
		Fields    [][]byte `json:"fields"`
		Digest    []byte   `json:"digest"`
		Signature []byte   `json:"signature"`
	} `json:"signature"`
	KDF []struct {
		Secret []byte `json:"secret"`
		Label  string `json:"label"`
		Out    []byte `json:"out"`
	} `json:"kdf"`
	Stream []struct {
		Key    []byte `json:"key"`
		Index  string `json:"index"`
		Bytes  int    `json:"bytes"`
		First  []byte `json:"first"`
		SHA256 []byte `json:"sha256"`
	} `json:"stream"`
	Modulus []modulus `json:"modulus"`
	Element struct {
		RoundID []byte `json:"round_id"`
		Key     []byte `json:"key"`
		A       []struct {
			N      int     `json:"n"`
			Q      uint32  `json:"q"`
			Block  uint64  `json:"block"`
			Values summary `json:"values"`
		} `json:"a"`
	} `json:"element"`
	Seed struct {
		Seed       []byte `json:"seed"`
		Commitment []byte `json:"commitment"`
		PRG        []struct {
			N        int     `json:"n"`
			Q        uint32  `json:"q"`
			Residues summary `json:"residues"`
		} `json:"prg"`
	} `json:"seed"`
	Committee []committeeVector `json:"committee"`
	Client    struct {
		U             []byte   `json:"u"`
		DeviceSecret  []byte   `json:"device_secret"`
		RoundID       []byte   `json:"round_id"`
		MessageDigest []byte   `json:"message_digest"`
		Seed          []byte   `json:"seed"`
		SetSeeds      [][]byte `json:"set_seeds"`
		SKey          []byte   `json:"s_key"`
		ZKey          []byte   `json:"z_key"`
	} `json:"client"`
	Header []headerVector `json:"header"`
	Piece  struct {
		Blocks         [][]byte `json:"blocks"`
		BlocksPerPiece int      `json:"blocks_per_piece"`
		Pieces         [][]byte `json:"pieces"`
		PieceHashes    [][]byte `json:"piece_hashes"`
		Root           []byte   `json:"root"`
	} `json:"piece"`
	Box []boxVector `json:"box"`
}

type modulus struct {
	N             int     `json:"n"`
	Bits          int     `json:"bits"`
	Q             uint32  `json:"q"`
	PrimitiveRoot uint64  `json:"primitive_root"`
	Psi           uint64  `json:"psi"`
	Key           []byte  `json:"key"`
	Index         uint64  `json:"index"`
	Residues      summary `json:"residues"`
	Packed        struct {
		Bytes  int    `json:"bytes"`
		First  []byte `json:"first"`
		Last   []byte `json:"last"`
		SHA256 []byte `json:"sha256"`
	} `json:"packed"`
	Values summary `json:"values"`
}

type committeeVector struct {
	Decryptors int     `json:"decryptors"`
	Threshold  int     `json:"threshold"`
	Malicious  int     `json:"malicious"`
	Sets       int     `json:"sets"`
	SHA256     []byte  `json:"sha256"`
	First      []int   `json:"first"`
	Last       []int   `json:"last"`
	Order      [][]int `json:"order"`
	Held       [][]int `json:"held"`
}

type headerVector struct {
	Suite       int      `json:"suite"`
	TaskID      []byte   `json:"task_id"`
	RoundID     []byte   `json:"round_id"`
	Epoch       uint64   `json:"epoch"`
	Lane        uint32   `json:"lane"`
	VehicleID   []byte   `json:"vehicle_id"`
	N           int      `json:"n"`
	Q           uint32   `json:"q"`
	Values      int      `json:"d"`
	PieceBlocks int      `json:"k"`
	Decryptors  int      `json:"nc"`
	Threshold   int      `json:"t"`
	Corr        []byte   `json:"corr"`
	Root        []byte   `json:"root"`
	Commitments [][]byte `json:"commitments"`
	Header      []byte   `json:"header"`
	ReportID    []byte   `json:"report_id"`
}

type boxVector struct {
	Suite     uint16 `json:"suite"`
	RoundID   []byte `json:"round_id"`
	Decryptor int    `json:"decryptor"`
	Private   []byte `json:"private"`
	Public    []byte `json:"public"`
	Random    []byte `json:"random"`
	Info      []byte `json:"info"`
	AAD       []byte `json:"aad"`
	Plaintext []byte `json:"plaintext"`
	Box       []byte `json:"box"`
}

var loadPrimitives = sync.OnceValue(func() *primitives { return new(primitives) })

// known returns the content of primitives.json, read once.
func known(t *testing.T) *primitives {
	t.Helper()
	p := loadPrimitives()
	if p.Meta == nil {
		load(t, "primitives.json", p)
	}
	return p
}

func TestKDF(t *testing.T) {
	for _, v := range known(t).KDF {
		got := sampler.Derive(v.Secret, v.Label)
		equal(t, "KDF "+v.Label, got[:], v.Out)
	}
}

func TestStream(t *testing.T) {
	for _, v := range known(t).Stream {
		i, err := strconv.ParseUint(v.Index, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, v.Bytes)
		if _, err := sampler.NewKey([32]byte(v.Key)).Stream(i).Read(b); err != nil {
			t.Fatal(err)
		}
		equal(t, "stream "+v.Index, b[:len(v.First)], v.First)
		equalHash(t, "stream "+v.Index, b, v.SHA256)
	}
}

func newRing(t *testing.T, n int, q uint32) *ring.Ring {
	t.Helper()
	r, err := ring.New(n, q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// uniform returns N residues of Stream(key, i).
func uniform(r *ring.Ring, key [32]byte, i uint64) []uint32 {
	out := make([]uint32, r.N())
	r.Uniform(out, sampler.NewKey(key).Stream(i))
	return out
}

func TestModuli(t *testing.T) {
	allowed := secagg.Moduli()
	if len(allowed) != len(known(t).Modulus) {
		t.Fatalf("%d moduli, want %d", len(allowed), len(known(t).Modulus))
	}
	for i, v := range known(t).Modulus {
		t.Run(strconv.Itoa(v.Bits), func(t *testing.T) {
			if want := (secagg.Modulus{N: v.N, Q: v.Q, Bits: v.Bits}); allowed[i] != want {
				t.Errorf("modulus %+v, want %+v", allowed[i], want)
			}
			r := newRing(t, v.N, v.Q)
			residues := uniform(r, [32]byte(v.Key), v.Index)
			v.Residues.check(t, "residues", residues)
			v.checkPacked(t, r, residues)
			v.checkValues(t, r, residues)
		})
	}
}

func (v modulus) checkPacked(t *testing.T, r *ring.Ring, residues []uint32) {
	t.Helper()
	packed := make([]byte, v.Packed.Bytes)
	r.Pack(packed, residues)
	equal(t, "packed", packed[:len(v.Packed.First)], v.Packed.First)
	equal(t, "packed end", packed[len(packed)-len(v.Packed.Last):], v.Packed.Last)
	equalHash(t, "packed", packed, v.Packed.SHA256)
	back := make([]uint32, v.N)
	if err := r.UnpackCanonical(back, packed); err != nil {
		t.Fatal(err)
	}
	equal(t, "unpacked", back, residues)
}

// checkValues compares lattigo's transform with values at psi^(2 brv(k)+1).
func (v modulus) checkValues(t *testing.T, r *ring.Ring, poly []uint32) {
	t.Helper()
	w := make([]uint64, len(poly))
	for i, c := range poly {
		w[i] = uint64(c)
	}
	r.BareNTT(w)
	values := make([]uint32, len(w))
	for i, x := range w {
		values[i] = uint32(x)
	}
	v.Values.check(t, "values", values)
	// brv(0) = 0: the first value is the one at psi itself.
	if got := horner(poly, v.Psi, uint64(v.Q)); got != uint64(values[0]) {
		t.Errorf("value at psi %d is %d, the transform starts with %d", v.Psi, got, values[0])
	}
	if got := power(v.PrimitiveRoot, (uint64(v.Q)-1)/uint64(2*v.N), uint64(v.Q)); got != v.Psi {
		t.Errorf("g^((Q-1)/2N) = %d, want psi %d", got, v.Psi)
	}
}

func horner(poly []uint32, x, q uint64) uint64 {
	var y uint64
	for i := len(poly) - 1; i >= 0; i-- {
		y = (y*x + uint64(poly[i])) % q
	}
	return y
}

func power(x, e, q uint64) uint64 {
	y := uint64(1)
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			y = y * x % q
		}
		x = x * x % q
	}
	return y
}

func TestPublicElement(t *testing.T) {
	e := known(t).Element
	key := sampler.Derive(e.RoundID, "a")
	equal(t, "key of a", key[:], e.Key)
	for _, v := range e.A {
		v.Values.check(t, "a", uniform(newRing(t, v.N, v.Q), key, v.Block))
	}
}

func TestSeed(t *testing.T) {
	s := known(t).Seed
	com := sampler.Derive(s.Seed, "com")
	equal(t, "commitment", com[:], s.Commitment)
	for _, v := range s.PRG {
		got := uniform(newRing(t, v.N, v.Q), sampler.Derive(s.Seed, "prg"), 0)
		v.Residues.check(t, "PRG", got)
	}
}

func TestClientSeed(t *testing.T) {
	c := known(t).Client
	r := sampler.Derive(bytes.Join([][]byte{c.U, c.DeviceSecret, c.RoundID, c.MessageDigest}, nil), "client")
	equal(t, "R", r[:], c.Seed)
	for i, want := range c.SetSeeds {
		seed := sampler.Derive(r[:], "seed/"+strconv.Itoa(i))
		equal(t, "seed of a set", seed[:], want)
	}
	s, z := sampler.Derive(r[:], "s"), sampler.Derive(r[:], "z")
	equal(t, "key of s", s[:], c.SKey)
	equal(t, "key of z", z[:], c.ZKey)
}

// TestCommittees walks all (n_c, t, f) up to one beyond the gate: exactly the
// listed ones are allowed, and their sets come in the listed order.
func TestCommittees(t *testing.T) {
	want := map[secagg.Committee]committeeVector{}
	for _, v := range known(t).Committee {
		want[secagg.Committee{Size: v.Decryptors, Threshold: v.Threshold, Malicious: v.Malicious}] = v
	}
	if len(want) < 50 {
		t.Fatalf("only %d committees in the file", len(want))
	}
	for i := range 18 * 18 * 18 {
		c := secagg.Committee{Size: i / 18 / 18, Threshold: i / 18 % 18, Malicious: i % 18}
		v, ok := want[c]
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("committee %+v: allowed is %v, error %v", c, ok, err)
		}
		if ok {
			v.check(t, c)
		}
	}
}

func (v committeeVector) check(t *testing.T, c secagg.Committee) {
	t.Helper()
	sets := c.Sets()
	if len(sets) != v.Sets {
		t.Fatalf("%+v: %d sets, want %d", c, len(sets), v.Sets)
	}
	h := sha256.New()
	for _, set := range sets {
		for _, k := range set {
			h.Write([]byte{byte(k)})
		}
	}
	equal(t, "hash of the sets", h.Sum(nil), v.SHA256)
	equal(t, "first set", sets[0], v.First)
	equal(t, "last set", sets[len(sets)-1], v.Last)
	for i, set := range v.Order {
		equal(t, "set", sets[i], set)
	}
	for k, held := range v.Held {
		equal(t, "sets held", c.Held(k), held)
	}
}

func TestRoundKeys(t *testing.T) {
	for _, v := range known(t).Box {
		key, err := secagg.ParseRoundKey(secagg.Suite(v.Suite), v.Private)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "public key", key.Public(), v.Public)
		if err := secagg.ValidatePublicKey(secagg.Suite(v.Suite), v.Public); err != nil {
			t.Error(err)
		}
	}
}
