package main

import "testing"

func TestMany(t *testing.T) {
	for n, want := range []string{"0 lanes", "1 lane", "2 lanes"} {
		if got := many(n, "lane"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
