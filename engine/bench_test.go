//go:build linux

package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSpark sums one round by Spark, in a cluster that it starts, and by the local runner, and compares
// the CPU seconds of all their processes. README.md beside the driver has the figures.
func BenchmarkSpark(b *testing.B) {
	slowly(b)
	for _, size := range []struct{ reports, values int }{{64, 10_000}, {64, 1_000_000}} {
		b.Run(fmt.Sprintf("%dx%d", size.reports, size.values), func(b *testing.B) {
			w := newWorld(b, size.reports, size.values)
			for b.Loop() {
				local, spark := w.cost(b)
				b.ReportMetric(local.Seconds(), "local-cpu-s")
				b.ReportMetric(spark.Seconds(), "spark-cpu-s")
				b.ReportMetric(float64(spark)/float64(local), "ratio")
			}
		})
	}
}

// cost returns the CPU time of the local runner, and of Spark with all its daemons.
func (w *world) cost(b *testing.B) (local, spark time.Duration) {
	b.Helper()
	stores := [2][]string{w.place(b, "file:"+b.TempDir()), w.place(b, "file:"+b.TempDir())}
	before := children(b)
	veilsum(b, stores[0], "batch", "run", "--fan-in", "16")
	local = children(b) - before

	adopt(b)
	_, env := wrapped(b, "")
	before = children(b)
	c := startCluster(b, 2, append(env, stores[1]...)...)
	driver := c.submit("--epoch", "1", "--fan-in", "16")
	var seen []int
	for ended := false; !ended; {
		select {
		case <-driver.ended:
			ended = true
		case <-time.After(50 * time.Millisecond):
		}
		for _, r := range marked(c.mark()) {
			seen = append(seen, r.pid)
		}
	}
	if !strings.Contains(driver.stdout.String(), `"type": "result"`) {
		b.Fatalf("%v: %s", driver.err, driver.text())
	}
	c.stop()
	slices.Sort(seen)
	for _, pid := range slices.Compact(seen) { // those whose parents died before them
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
	return local, children(b) - before
}

// children is the CPU time of all processes that ended and were waited for by this one, or by such a process.
func children(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// adopt makes this process the parent of descendants whose own has died.
func adopt(b *testing.B) {
	b.Helper()
	const setChildSubreaper = 36 // prctl(2)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		b.Fatal(errno)
	}
}
