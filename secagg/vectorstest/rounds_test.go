package vectorstest

import (
	"bytes"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/secagg"
)

// round mirrors one entry of report.json, which its README describes.
type round struct {
	Name      string      `json:"name"`
	Params    roundParams `json:"params"`
	TaskID    []byte      `json:"task_id"`
	RoundID   []byte      `json:"round_id"`
	Epoch     uint64      `json:"epoch"`
	Lane      uint32      `json:"lane"`
	RoundKeys []roundKey  `json:"round_keys"`
	Sets      [][]int     `json:"sets"`
	Reports   []report    `json:"reports"`
	Sum       []byte      `json:"sum"`
	SetSums   [][]byte    `json:"set_sums"`
	Answers   []struct {
		Decryptor int   `json:"decryptor"`
		Sets      []int `json:"sets"`
	} `json:"answers"`
	S []byte `json:"S"`
	X []byte `json:"x"`
}

type roundParams struct {
	Suite       uint16  `json:"suite"`
	N           int     `json:"n"`
	Q           uint32  `json:"q"`
	Bits        int     `json:"bits"`
	Values      int     `json:"values"`
	Blocks      int     `json:"blocks"`
	Witnesses   int     `json:"witnesses"`
	PieceBlocks int     `json:"blocks_per_piece"`
	Decryptors  int     `json:"decryptors"`
	Threshold   int     `json:"threshold"`
	Malicious   int     `json:"malicious"`
	LocalStdDev float64 `json:"local_std_dev"`
}

type roundKey struct {
	Decryptor int    `json:"decryptor"`
	Private   []byte `json:"private"`
	Public    []byte `json:"public"`
}

type report struct {
	VehicleID     []byte   `json:"vehicle_id"`
	SigningSeed   []byte   `json:"signing_seed"`
	SigningPublic []byte   `json:"signing_public"`
	U             []byte   `json:"u"`
	DeviceSecret  []byte   `json:"device_secret"`
	MessageDigest []byte   `json:"message_digest"`
	ClientSeed    []byte   `json:"client_seed"`
	M             []byte   `json:"m"`
	S             []byte   `json:"s"`
	Z             []byte   `json:"z"`
	Seeds         [][]byte `json:"seeds"`
	Corr          []byte   `json:"corr"`
	Pieces        [][]byte `json:"pieces"`
	PieceHashes   [][]byte `json:"piece_hashes"`
	Root          []byte   `json:"root"`
	ReportID      []byte   `json:"report_id"`
	BoxPlaintexts [][]byte `json:"box_plaintexts"`
	HeaderObject  []byte   `json:"header_object"`
}

var loadRounds = sync.OnceValue(func() *struct {
	Meta   meta    `json:"meta"`
	Rounds []round `json:"rounds"`
} {
	return new(struct {
		Meta   meta    `json:"meta"`
		Rounds []round `json:"rounds"`
	})
})

// eachRound runs f on every round of report.json.
func eachRound(t *testing.T, f func(t *testing.T, r round)) {
	t.Helper()
	file := loadRounds()
	if file.Meta == nil {
		load(t, "report.json", file)
	}
	if len(file.Rounds) == 0 {
		t.Fatal("no rounds")
	}
	for _, r := range file.Rounds {
		t.Run(r.Name, func(t *testing.T) { f(t, r) })
	}
}

func (p roundParams) committee() secagg.Committee {
	return secagg.Committee{Size: p.Decryptors, Threshold: p.Threshold, Malicious: p.Malicious}
}

func (p roundParams) new(t *testing.T) secagg.Params {
	t.Helper()
	out, err := secagg.New(secagg.Literal{
		N: p.N, Q: p.Q, Values: p.Values, LocalStdDev: p.LocalStdDev,
		Committee: p.committee(), Suite: secagg.Suite(p.Suite),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParams(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		p, v := r.Params.new(t), r.Params
		for i, set := range p.Committee().Sets() {
			equal(t, "set", set, r.Sets[i])
		}
		got := []int{p.Bits(), p.Blocks(), p.Witnesses(), p.Sets(), p.HeldSets(), p.HeaderObjectBytes(), int(p.SumBytes()), p.BlockBytes()}
		want := []int{
			v.Bits, v.Blocks, v.Witnesses, len(r.Sets), len(r.Answers[0].Sets),
			len(r.Reports[0].HeaderObject), len(r.Sum), len(r.Reports[0].Corr),
		}
		equal(t, "getters", got, want)
		if p.HeaderBytes() != 184+32*len(r.Sets) {
			t.Errorf("header of %d bytes", p.HeaderBytes())
		}
	})
}

// TestSealing repeats Python's encryption with Go's arithmetic from the same
// m, s and z. Seal itself draws s and z as it likes, so it cannot be compared.
func TestSealing(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		for _, rep := range r.Reports {
			equal(t, "corr", sealCorr(t, r, rep), rep.Corr)
			equal(t, "blocks", sealBlocks(t, r, rep), bytes.Join(rep.Pieces, nil))
		}
	})
}

func TestSum(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		sum := r.sum(t)
		var b bytes.Buffer
		if _, err := sum.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		equal(t, "sum", b.Bytes(), r.Sum)
		if _, err := secagg.ReadSum(sum.Params(), &b); err != nil {
			t.Error(err)
		}
	})
}

// sum adds every report of the file piece by piece.
func (r round) sum(t *testing.T) *secagg.Sum {
	t.Helper()
	sum := secagg.NewSum(r.Params.new(t))
	for _, rep := range r.Reports {
		if err := sum.AddCorr(rep.Corr); err != nil {
			t.Fatal(err)
		}
		for i, piece := range rep.Pieces {
			if err := sum.AddBlocks(i*r.Params.PieceBlocks, piece); err != nil {
				t.Fatal(err)
			}
		}
	}
	return sum
}
