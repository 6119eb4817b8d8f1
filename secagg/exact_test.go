package secagg_test

import (
	"os"
	"testing"
	"time"

	"github.com/veilsum/veilsum/secagg"
)

// TestOpenedSumIsExact is the promise of section 8 at full size: what a
// quorum opens is sum(m) + sum(z), in every value, and S is sum(s); two
// different quorums open the same.
func TestOpenedSumIsExact(t *testing.T) {
	n, values := 1000, 100_000
	if testing.Short() {
		n, values = 50, 5000
	}
	// sigma_e = 35 and messages in -2 to 2: the sum has width 1108, Q/2 is
	// 113 times as much, and no value comes near it.
	openTwice(t, literal(values), n)
}

// TestOpenedSumIsExactForAHundredThousand has the smallest noise of the gate
// (sigma_e = 6.4) and boxes of suite 2 for every client.
func TestOpenedSumIsExactForAHundredThousand(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("takes minutes: set VEILSUM_SLOW=1")
	}
	l := literal(64)
	l.LocalStdDev = 6.4
	openTwice(t, l, 100_000)
}

func openTwice(t *testing.T, l secagg.Literal, n int) {
	t.Helper()
	f := newFleet(t, l)
	start := time.Now()
	c := f.addClients(t, n)
	t.Logf("%d clients sealed, %d boxes opened in %v", n, n*len(f.keys), time.Since(start).Round(time.Millisecond))
	var last []int32
	for _, who := range [][]int{{0, 1, 2}, {1, 2, 3}} {
		x, res, err := c.open(n, 0, c.total, c.answersOf(who...))
		check(t, err)
		c.exact(t, x, res)
		if res.Confirmed || len(res.Dropped) > 0 {
			t.Fatalf("%v: confirmed %v, dropped %v with exactly t answers", who, res.Confirmed, res.Dropped)
		}
		for i := range last {
			if last[i] != x[i] {
				t.Fatalf("value %d: %d and %d from two quorums", i, last[i], x[i])
			}
		}
		last = x
	}
}
