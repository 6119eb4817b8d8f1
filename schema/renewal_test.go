package schema_test

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

func TestHandoverRanges(t *testing.T) {
	refuse(t, "handover", testHandover, []refusal[schema.Handover]{
		{"handover.version", func(x *schema.Handover) { x.Version = 0 }},
		{"handover.scope", func(x *schema.Handover) { x.Scope = schema.ScopeID{} }},
		{"handover.committee", func(x *schema.Handover) { x.Committee = schema.Digest{} }},
		{"handover.index", func(x *schema.Handover) { x.Index = -1 }},
		{"handover.size", func(x *schema.Handover) { x.Size = 0 }},
		{"handover.size", func(x *schema.Handover) { x.Size = 1<<53 + 1 }},
		{"handover.root", func(x *schema.Handover) { x.Root = schema.Digest{} }},
	})
}

func TestRenewalRanges(t *testing.T) {
	refuse(t, "task", func() schema.Task { return testRenewed(t) }, []refusal[schema.Task]{
		{"committee.keys", func(x *schema.Task) { x.Renewal.Committee.Keys = x.Renewal.Committee.Keys[:3] }},
		{"renewal.root", func(x *schema.Task) { x.Renewal.Root = schema.Digest{} }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage[1].Size = 1<<53 + 1 }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage[1].Size = 3 }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage[0].Size = 0 }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage = x.Renewal.Lineage[:1] }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage = []schema.Predecessor{} }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage[0] = x.Renewal.Lineage[1] }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage[0].Committee = schema.Digest{} }},
		{"renewal.lineage", func(x *schema.Task) { x.Renewal.Lineage[0].Committee = x.Committee.ID() }},
		{"renewal.lineage", func(x *schema.Task) { x.Committee = x.Renewal.Committee }},
		{"renewal.handovers", func(x *schema.Task) { x.Renewal.Handovers = x.Renewal.Handovers[:2] }},
		{"renewal.handovers", func(x *schema.Task) { x.Renewal.Handovers[2].Index = 4 }},
		{"renewal.handovers", func(x *schema.Task) { x.Renewal.Handovers[0].Index = -1 }},
		{"renewal.handovers", func(x *schema.Task) { x.Renewal.Handovers[2].Index = 1 }},
	})
}

// TestRenewalVerify: each handover is signed by its own member, for this scope, committee and checkpoint.
func TestRenewalVerify(t *testing.T) {
	scope := testTask().Scope.ID()
	must(t, testRenewed(t).Renewal.Verify(scope))
	for name, change := range map[string]func(*schema.Renewal){
		"checkpoint": func(r *schema.Renewal) { r.Lineage[1].Size++ },
		"root":       func(r *schema.Renewal) { r.Root[0]++ },
		"member":     func(r *schema.Renewal) { r.Handovers[2].Index = 3 },
		"signature":  func(r *schema.Renewal) { r.Handovers[1].Signature = r.Handovers[0].Signature },
		"committee":  func(r *schema.Renewal) { r.Committee.Threshold++ },
	} {
		r := *testRenewed(t).Renewal
		change(&r)
		if err := r.Verify(scope); !errors.Is(err, schema.ErrSignature) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	if err := testRenewed(t).Renewal.Verify(schema.ScopeID{Digest: digest("other")}); !errors.Is(err, schema.ErrSignature) {
		t.Errorf("another scope: %v", err)
	}
}

// TestMinHandovers: of the members that handed over, f may lie; the others leave fewer than t to vote,
// and share one with every t that voted before.
func TestMinHandovers(t *testing.T) {
	for n := 1; n <= schema.MaxCommittee; n++ {
		for th := 1; th <= n; th++ {
			for f := range n {
				if !schema.AllowedCommittee(n, th, f) {
					continue
				}
				h := schema.Committee{Size: n, Threshold: th, Malicious: f}.MinHandovers()
				if left := n - (h - f); left >= th || th-left < 1 {
					t.Errorf("(%d,%d,%d): %d handovers leave %d voters", n, th, f, h, left)
				}
				if n-(h-1-f) < th {
					t.Errorf("(%d,%d,%d): one handover fewer than %d would do", n, th, f, h)
				}
			}
		}
	}
}
