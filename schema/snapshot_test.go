package schema_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

func TestSnapshot(t *testing.T) {
	s := testSnapshot(t)
	must(t, s.Verify(testPublic("authority")))
	if err := s.Verify(testPublic("owner")); !errors.Is(err, schema.ErrSignature) {
		t.Errorf("another authority: %v", err)
	}
	for _, v := range s.Vehicles() {
		if key, ok := s.Key(v.ID); !ok || key != v.Key {
			t.Errorf("vehicle %s: %s, %v", v.ID, key, ok)
		}
	}
	for _, absent := range []schema.VehicleID{{}, {1, 2}, {1, 2, 4}, {0xff}} {
		if _, ok := s.Key(absent); ok {
			t.Errorf("vehicle %s is enrolled", absent)
		}
	}
	if s.Serial != 5 || s.Scope.Digest != digest("scope") || len(s.Vehicles()) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSnapshotRefused(t *testing.T) {
	a, b := testPublic("v0"), testPublic("v1")
	for name, list := range map[string][]schema.Enrolled{
		"two of one name": {{ID: schema.VehicleID{1}, Key: a}, {ID: schema.VehicleID{1}, Key: b}},
		"two of one key":  {{ID: schema.VehicleID{1}, Key: a}, {ID: schema.VehicleID{2}, Key: a}},
		"zero key":        {{ID: schema.VehicleID{1}}},
	} {
		s, err := schema.NewSnapshot(schema.ScopeID{}, 1, list, testKey("authority"))
		if !errors.Is(err, schema.ErrFormat) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw := testSnapshot(t).Bytes()
	swapped := bytes.Clone(raw)
	copy(swapped[52:100], raw[100:148])
	copy(swapped[100:148], raw[52:100])
	if s, err := schema.DecodeSnapshot(swapped); !errors.Is(err, schema.ErrFormat) || s != nil {
		t.Errorf("unsorted: %v", err)
	}
	for _, at := range []int{6, 7} {
		bad := bytes.Clone(raw)
		bad[at] = 1
		if _, err := schema.DecodeSnapshot(bad); !errors.Is(err, schema.ErrFormat) {
			t.Errorf("padding: %v", err)
		}
	}
}

// TestEmptySnapshot: a fleet of which everybody was revoked is a snapshot.
func TestEmptySnapshot(t *testing.T) {
	s, err := schema.NewSnapshot(schema.ScopeID{}, 1, nil, testKey("authority"))
	must(t, err)
	again, err := schema.DecodeSnapshot(s.Bytes())
	must(t, err)
	if len(again.Vehicles()) != 0 || again.Root() != s.Root() {
		t.Error("it changed")
	}
}

func TestLaneOf(t *testing.T) {
	task, v := schema.TaskID{Digest: digest("task")}, schema.VehicleID{7}
	for _, lanes := range []int{-1, 0, 1} {
		if got := schema.LaneOf(task, 3, v, lanes); got != 0 {
			t.Errorf("%d lanes: lane %d", lanes, got)
		}
	}
	// 4096 vehicles over 4 lanes: 1024 each, standard deviation 27.7. A lane is off by 8 of
	// these with probability below 1e-14; the vehicles are fixed, so the test never flickers.
	count := map[uint32]int{}
	for i := range 4096 {
		count[schema.LaneOf(task, 3, schema.VehicleID{byte(i), byte(i >> 8)}, 4)]++
	}
	for lane := range uint32(4) {
		if count[lane] < 1024-222 || count[lane] > 1024+222 {
			t.Errorf("lane %d: %d vehicles", lane, count[lane])
		}
	}
	if len(count) != 4 {
		t.Errorf("lanes %v", count)
	}
}
