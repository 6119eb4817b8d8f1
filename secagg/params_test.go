package secagg_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/secagg"
)

func TestNewNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*secagg.Literal){
		"N, Q":        func(l *secagg.Literal) { l.Q += 2 },
		"Values":      func(l *secagg.Literal) { l.Values = 0 },
		"LocalStdDev": func(l *secagg.Literal) { l.LocalStdDev = 6.39 },
		"Suite":       func(l *secagg.Literal) { l.Suite = 3 },
		"Committee":   func(l *secagg.Literal) { l.Committee = secagg.Committee{Size: 3, Threshold: 2, Malicious: 1} },
	} {
		l := literal(1000)
		change(&l)
		if _, err := secagg.New(l); !errors.Is(err, secagg.ErrParams) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestNewRefusesTheEdges(t *testing.T) {
	for name, change := range map[string]func(*secagg.Literal){
		"other ring degree": func(l *secagg.Literal) { l.N = 2048 },
		"no modulus":        func(l *secagg.Literal) { l.N, l.Q = 0, 0 },
		"negative values":   func(l *secagg.Literal) { l.Values = -1 },
		"2^31 values":       func(l *secagg.Literal) { l.Values = math.MaxInt32 + 1 },
		"NaN":               func(l *secagg.Literal) { l.LocalStdDev = math.NaN() },
		"infinity":          func(l *secagg.Literal) { l.LocalStdDev = math.Inf(1) },
		"too wide":          func(l *secagg.Literal) { l.LocalStdDev = 1<<20 + 1 },
		"suite 0":           func(l *secagg.Literal) { l.Suite = 0 },
		"no committee":      func(l *secagg.Literal) { l.Committee = secagg.Committee{} },
	} {
		l := literal(1000)
		change(&l)
		if _, err := secagg.New(l); !errors.Is(err, secagg.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, sigma := range []float64{6.4, 1 << 20} {
		l := literal(math.MaxInt32)
		l.LocalStdDev = sigma
		if _, err := secagg.New(l); err != nil {
			t.Error(err)
		}
	}
}

// TestSizes computes the lengths of sections 4 and 5 by hand for (4,3,1).
func TestSizes(t *testing.T) {
	l := literal(5000)
	for suite, box := range map[secagg.Suite]int{secagg.SuiteHybrid: 1120 + 96 + 16, secagg.SuiteX25519: 32 + 96 + 16} {
		l.Suite = suite
		p, err := secagg.New(l)
		check(t, err)
		got := []int{
			p.Blocks(), p.Witnesses(), p.Sets(), p.HeldSets(), p.BlockBytes(), p.Bits(), p.BoxBytes(),
			p.HeaderBytes(), p.HeaderObjectBytes(), int(p.ReportBytes()), int(p.SumBytes()), p.DefaultPieceBlocks(),
		}
		want := []int{
			6, 1144, 6, 3, 2304, 18, box,
			184 + 6*32, 184 + 6*32 + 4*32 + 64 + 4*box + 2304, 184 + 6*32 + 4*32 + 64 + 4*box + 7*2304, 7 * 2304, 113,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("suite %d: %v, want %v", suite, got, want)
		}
	}
}

// TestZeroParams: the zero value is told by an error, never by a panic.
func TestZeroParams(t *testing.T) {
	var p secagg.Params
	for i := range reflect.TypeOf(p).NumMethod() {
		for _, v := range reflect.ValueOf(p).Method(i).Call(nil) {
			if !v.IsZero() {
				t.Errorf("%s is %v", reflect.TypeOf(p).Method(i).Name, v)
			}
		}
	}
	s := secagg.NewSum(p)
	for name, err := range map[string]error{
		"AddCorr":   s.AddCorr(nil),
		"AddBlocks": s.AddBlocks(0, nil),
		"SubCorr":   s.SubCorr(nil),
		"SubBlocks": s.SubBlocks(0, nil),
		"Merge":     s.Merge(s),
		"Corr":      s.Corr(nil),
		"WriteTo":   second(s.WriteTo(nil)),
		"ReadSum":   second(secagg.ReadSum(p, nil)),
		"Seal":      second(secagg.Seal(p, [32]byte{}, secagg.ClientSeed{}, nil, nil)),
		"OpenBox":   second(secagg.OpenBox(p, 0, secagg.RoundKey{}, [32]byte{}, [32]byte{}, nil, nil)),
		"Seeds":     second(secagg.ParseSeeds(p, 0, nil)),
	} {
		if !errors.Is(err, secagg.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Reset()
}

func second[T any](_ T, err error) error { return err }

// TestSetsMissExactlyOneSeed is the sharing's secrecy in numbers: any t-1
// decryptors hold all seeds but one, any t hold all. Checked for every
// committee of the gate with at most 8 members.
func TestSetsMissExactlyOneSeed(t *testing.T) {
	committees := smallCommittees()
	if len(committees) < 10 {
		t.Fatalf("only %d committees", len(committees))
	}
	for _, c := range committees {
		for group := range 1 << c.Size {
			held := make(map[int]bool)
			size := 0
			for k := range c.Size {
				if group>>k&1 == 0 {
					continue
				}
				size++
				for _, i := range c.Held(k) {
					held[i] = true
				}
			}
			missing := len(c.Sets()) - len(held)
			if size == c.Threshold-1 && missing != 1 || size == c.Threshold && missing != 0 {
				t.Fatalf("%+v: %d members miss %d seeds", c, size, missing)
			}
		}
	}
}

func TestCommitteeOutsideTheGate(t *testing.T) {
	for _, c := range []secagg.Committee{
		{3, 2, 1}, {5, 3, 2}, {2, 1, 1}, {4, 3, 0}, {17, 12, 5}, {4, 5, 1}, {-4, 3, 1}, {5, 4, 3}, {3, 3, 3},
	} {
		if c.Validate() == nil || c.Sets() != nil || len(c.Held(0)) != 0 {
			t.Errorf("%+v is allowed", c)
		}
	}
	if got := (secagg.Committee{Size: 4, Threshold: 3, Malicious: 1}).Held(-1); got != nil {
		t.Errorf("decryptor -1 holds %v", got)
	}
}
