package pipeline_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain plays fewer random schedules with -short.
func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); testing.Short() && checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("15"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
