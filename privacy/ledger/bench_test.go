package ledger_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// large is a scope that affords half a million rounds.
func large() ledger.Scope {
	s := scope
	s.Epsilon = 1e5
	return s
}

// history returns a store with n entries: rounds of two tasks that are reserved
// and settled. Only the last entries carry signatures: of full bundles no audit
// looks at any but the newest of each Collector, and signing takes longer than all the rest.
func history(t testing.TB, n int) *memory {
	m := newMemory()
	b := ledger.NewBuilder(large())
	for epoch := uint64(0); b.Size() < n; epoch++ {
		req := request([]ledger.ID{taxi, truck}[epoch%2], epoch, 0)
		index := b.Size()
		sign := index >= n/256*256-4
		b.Add(&ledger.Entry{Kind: ledger.KindReserve, Request: req}, keyOf(collectorOf(req.Task)), sign)
		if b.Size() < n {
			b.Add(&ledger.Entry{Kind: ledger.KindSettle, Reserve: int64(index), Receipt: req.Reservation, Status: ledger.StatusCommitted}, keyOf(collectorOf(req.Task)), sign)
		}
	}
	if err := b.Store(func(key string, body []byte) { m.objects[key] = body }, keyOf("anna")); err != nil {
		t.Fatal(err)
	}
	return m
}

func auditLarge(t testing.TB, m *memory, n int) time.Duration {
	begin := time.Now()
	r, err := ledger.Audit(t.Context(), m, large(), unvoted, ledger.Checkpoint{})
	took := time.Since(begin)
	if err != nil || r.Head.Size != int64(n) || r.Epochs != int64(n)/2 || r.Unsigned != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	return took
}

// TestAuditOfAMillion is the promise: 10^6 entries in less than 5 seconds.
func TestAuditOfAMillion(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") == "" {
		t.Skip("needs 2 GB and half a minute; set VEILSUM_SLOW=1")
	}
	m := history(t, 1_000_000)
	took := auditLarge(t, m, 1_000_000)
	t.Logf("1e6 entries audited in %v", took)
	if took > 5*time.Second {
		t.Errorf("audit took %v, promised are 5 s", took)
	}
}

func BenchmarkAudit(b *testing.B) {
	sizes := []int{100_000}
	if os.Getenv("VEILSUM_SLOW") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := history(b, n)
			for b.Loop() {
				auditLarge(b, m, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
		})
	}
}

// BenchmarkReserve is one reservation with its checkpoint, on a log of 1,000 entries.
func BenchmarkReserve(b *testing.B) {
	m := history(b, 1000)
	l, err := ledger.Open(b.Context(), m, large(), unvoted)
	if err != nil {
		b.Fatal(err)
	}
	for epoch := uint64(1e6); b.Loop(); epoch++ {
		reserve(b, l, request(taxi, epoch, 0))
	}
}

// BenchmarkInclusion is a proof from tiles in a log of 10^5 entries.
func BenchmarkInclusion(b *testing.B) {
	m := history(b, 100_000)
	l, err := ledger.Open(b.Context(), m, large(), unvoted)
	if err != nil {
		b.Fatal(err)
	}
	if err := ledger.Publish(b.Context(), l); err != nil {
		b.Fatal(err)
	}
	p := ledger.NewProver(m, head(b, l))
	for i := int64(0); b.Loop(); i = (i + 7919) % 100_000 {
		if _, _, err := p.Inclusion(b.Context(), i); err != nil {
			b.Fatal(err)
		}
	}
}
