package vectorstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
)

// document is a round in the format "veilsum-open/1" of the vectors' README.
type document struct {
	Format    string           `json:"format"`
	Params    roundParams      `json:"params"`
	TaskID    []byte           `json:"task_id"`
	RoundID   []byte           `json:"round_id"`
	Epoch     uint64           `json:"epoch"`
	Lane      uint32           `json:"lane"`
	RoundKeys []documentKey    `json:"round_keys"`
	Reports   []documentReport `json:"reports"`
	Sum       []byte           `json:"sum"`
	SetSums   [][]byte         `json:"set_sums"`
	S         []byte           `json:"S"`
	X         []byte           `json:"x"`
}

type documentKey struct {
	Decryptor int    `json:"decryptor"`
	Public    []byte `json:"public"`
	Private   []byte `json:"private,omitempty"`
}

type documentReport struct {
	VehicleID     []byte   `json:"vehicle_id"`
	SigningPublic []byte   `json:"signing_public"`
	HeaderObject  []byte   `json:"header_object"`
	Pieces        [][]byte `json:"pieces"`
	M             []byte   `json:"m"`
}

// fresh returns n random bytes.
func fresh(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func packInts(v []int32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	return b
}

// maker seals a round with Go.
type maker struct {
	p    secagg.Params
	keys []secagg.RoundKey
	doc  document
}

func newMaker(t *testing.T, v roundParams) *maker {
	t.Helper()
	p := v.new(t)
	v.Bits, v.Blocks, v.Witnesses = p.Bits(), p.Blocks(), p.Witnesses()
	m := &maker{p: p, doc: document{
		Format: "veilsum-open/1", Params: v, TaskID: fresh(32), RoundID: fresh(32), Epoch: 1 << 33, Lane: 7,
	}}
	for k := range v.Decryptors {
		key, err := secagg.GenerateRoundKey(m.p.Suite())
		if err != nil {
			t.Fatal(err)
		}
		m.keys = append(m.keys, key)
		entry := documentKey{Decryptor: k, Public: key.Public()}
		if k >= v.Decryptors-v.Threshold { // any t suffice: leave out the first ones
			if entry.Private, err = key.Bytes(); err != nil {
				t.Fatal(err)
			}
		}
		m.doc.RoundKeys = append(m.doc.RoundKeys, entry)
	}
	return m
}

// seal adds one client's report with values -100 to 100.
func (mk *maker) seal(t *testing.T) {
	t.Helper()
	m := make([]int32, mk.p.Values())
	for i, b := range fresh(len(m)) {
		m[i] = int32(b)%201 - 100
	}
	seed, err := secagg.NewClientSeed(fresh(32), [32]byte(mk.doc.RoundID), [32]byte(fresh(32)))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []byte
	sealed, err := secagg.Seal(mk.p, [32]byte(mk.doc.RoundID), seed,
		func(offset int, dst []int32) error { copy(dst, m[offset:]); return nil },
		func(_ int, block []byte) error { blocks = append(blocks, block...); return nil })
	if err != nil {
		t.Fatal(err)
	}
	mk.assemble(t, sealed, mk.pieces(blocks), m)
}

func (mk *maker) pieces(blocks []byte) [][]byte {
	var out [][]byte
	size := mk.doc.Params.PieceBlocks * mk.p.BlockBytes()
	for len(blocks) > 0 {
		n := min(size, len(blocks))
		out, blocks = append(out, blocks[:n]), blocks[n:]
	}
	return out
}

func (mk *maker) assemble(t *testing.T, sealed *secagg.Sealed, pieces [][]byte, m []int32) {
	t.Helper()
	vehicle, signing := fresh(16), ed25519.NewKeyFromSeed(fresh(32))
	h := mk.header(sealed, pieces)
	h.Vehicle = schema.VehicleID(vehicle)
	raw, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	boxes := make([][]byte, len(mk.keys))
	for k, key := range mk.keys {
		if boxes[k], err = sealed.Box(k, key.Public(), schema.NewReportID(raw).Digest); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := schema.NewReport(h, boxes, sealed.Corr(), signing)
	if err != nil {
		t.Fatal(err)
	}
	mk.doc.Reports = append(mk.doc.Reports, documentReport{
		VehicleID: vehicle, SigningPublic: signing.Public().(ed25519.PublicKey),
		HeaderObject: rep.Bytes(), Pieces: pieces, M: packInts(m),
	})
}

func (mk *maker) header(sealed *secagg.Sealed, pieces [][]byte) schema.Header {
	v, c := mk.doc.Params, mk.p.Committee()
	h := schema.Header{
		Suite: int(v.Suite), Epoch: mk.doc.Epoch, Lane: mk.doc.Lane, N: v.N, Q: v.Q, Values: v.Values,
		PieceBlocks: v.PieceBlocks, Size: c.Size, Threshold: c.Threshold, CorrHash: schema.HashCorr(sealed.Corr()),
	}
	h.TaskID.Digest, h.RoundID.Digest = digest(mk.doc.TaskID), digest(mk.doc.RoundID)
	for _, c := range sealed.Commitments() {
		h.Commitments = append(h.Commitments, c)
	}
	hashes := make([]schema.Digest, len(pieces))
	for i, piece := range pieces {
		hashes[i] = schema.HashPiece(i, piece)
	}
	h.Root = schema.PieceRoot(hashes)
	return h
}

// asRound gives the sealed round the shape of a vector, so that the same
// helpers sum and open it.
func (mk *maker) asRound() round {
	r := round{Params: mk.doc.Params, TaskID: mk.doc.TaskID, RoundID: mk.doc.RoundID, Sets: mk.p.Committee().Sets()}
	size := mk.p.BlockBytes()
	for _, rep := range mk.doc.Reports {
		corr := rep.HeaderObject[len(rep.HeaderObject)-size:]
		r.Reports = append(r.Reports, report{Corr: corr, Pieces: rep.Pieces, HeaderObject: rep.HeaderObject})
	}
	return r
}

// python returns the interpreter to use, or skips the test.
func python(t *testing.T) string {
	t.Helper()
	name := os.Getenv("VEILSUM_PYTHON")
	if name == "" {
		t.Skip("VEILSUM_PYTHON is not set: set it to a python3 (3.10 or later) that has the package cryptography " +
			"(python3 -m venv v && v/bin/pip install cryptography; VEILSUM_PYTHON=$PWD/v/bin/python3)")
	}
	if out, err := exec.Command(name, "-c", "import cryptography").CombinedOutput(); err != nil {
		t.Fatalf("VEILSUM_PYTHON=%s does not import cryptography (cure: pip install cryptography): %v: %s", name, err, out)
	}
	return name
}

// generate runs generate.py.
func generate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	script := filepath.Join(vectorDir, "generate.py")
	out, err := exec.Command(python(t), append([]string{script}, args...)...).CombinedOutput()
	return string(out), err
}

func (mk *maker) write(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(mk.doc)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "round.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestFilesAreCurrent: the committed answers are what the generator makes.
func TestFilesAreCurrent(t *testing.T) {
	if out, err := generate(t, "check"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestPythonOpens seals rounds with Go in every parameter set of report.json
// and lets Python verify and open them.
func TestPythonOpens(t *testing.T) {
	python(t)
	eachRound(t, func(t *testing.T, v round) {
		if testing.Short() && v.Params.Bits != 18 {
			t.Skip("-short: one round is enough")
		}
		mk := newMaker(t, v.Params)
		for range 3 {
			mk.seal(t)
		}
		mk.open(t)
		if out, err := generate(t, "open", mk.write(t)); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

// TestPythonRefuses changes one thing in a round that Go sealed; Python must
// name it, so that its yes means something.
func TestPythonRefuses(t *testing.T) {
	python(t)
	if testing.Short() {
		t.Skip("-short: nine runs of Python")
	}
	mk := newMaker(t, roundParams{
		Suite: 2, N: 1024, Q: 61441, Values: 700, PieceBlocks: 1, Decryptors: 3, Threshold: 3, Malicious: 2, LocalStdDev: 50,
	})
	mk.seal(t)
	mk.open(t)
	if out, err := generate(t, "open", mk.write(t)); err != nil {
		t.Fatalf("unchanged: %v: %s", err, out)
	}
	rep := &mk.doc.Reports[0]
	for _, c := range []struct {
		name  string
		bytes []byte
		at    int
	}{
		{"x[17]", mk.doc.X, 4 * 17},
		{"S[3]", mk.doc.S, 4 * 3},
		{"root of the pieces", rep.Pieces[0], 100},
		{"corr hash", rep.HeaderObject, len(rep.HeaderObject) - 1},
		{"signature", rep.HeaderObject, mk.p.HeaderBytes() + 32*3},
		{"hash of box 2", rep.HeaderObject, mk.p.HeaderBytes() + 32*3 + 64 + 2*mk.p.BoxBytes()},
		{"sum: block 1[0]", mk.doc.Sum, mk.p.BlockBytes()},
		{"set_sums: set 1[0]", mk.doc.SetSums[1], 0},
	} {
		c.bytes[c.at] ^= 1
		out, err := generate(t, "open", mk.write(t))
		c.bytes[c.at] ^= 1
		if err == nil || !strings.Contains(out, c.name) {
			t.Errorf("changed %s: %v: %s", c.name, err, out)
		}
	}
}
