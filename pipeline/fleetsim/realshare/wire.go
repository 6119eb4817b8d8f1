package realshare

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
)

// errOutage is how a write ends when the link breaks.
var errOutage = errors.New("realshare: the link is lost")

// wire is one vehicle's way to the gateway: it counts, and breaks when its link does.
type wire struct {
	link *planet.Link

	mu      sync.Mutex
	elapsed time.Duration // simulated, of bytes sent and outages
	sent    int64
	dials   int
	breaks  int
	cutAt   int64 // break once before this byte; 0 for never
}

// reset starts the counts anew and plans a break.
func (w *wire) reset(cutAt int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.elapsed, w.sent, w.dials, w.breaks, w.cutAt = 0, 0, 0, 0, cutAt
}

// dial implements remote.Config.Dial.
func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.dials++
	w.mu.Unlock()
	return &linked{Conn: c, wire: w}, nil
}

// linked is a connection over a wire.
type linked struct {
	net.Conn
	wire *wire
}

// Write implements net.Conn.
func (c *linked) Write(b []byte) (int, error) {
	n, broken := c.wire.pass(len(b))
	n, err := c.Conn.Write(b[:n])
	if err == nil && broken {
		_ = c.Conn.Close()
		err = errOutage
	}
	return n, err
}

// pass returns how many of n bytes get through, and whether the connection breaks then.
func (w *wire) pass(n int) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cutAt > 0 && w.sent+int64(n) >= w.cutAt {
		n = int(w.cutAt - w.sent)
		w.cutAt = 0
		w.sent += int64(n)
		w.breaks++
		return n, true
	}
	left := w.time(n)
	for {
		done, outage := w.link.Pass(left)
		w.elapsed, left = w.elapsed+done+outage, left-done
		if outage > w.link.Patience {
			through := n - int(float64(n)*left.Seconds()/max(1e-9, w.time(n).Seconds()))
			w.sent += int64(through)
			w.breaks++
			return through, true
		}
		if outage == 0 || left <= 0 {
			w.sent += int64(n)
			return n, false
		}
	}
}

func (w *wire) time(n int) time.Duration {
	return time.Duration(float64(n) / w.link.Rate * float64(time.Second))
}

// counts returns what was counted since the last reset.
func (w *wire) counts() (sent int64, elapsed time.Duration, dials, breaks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent, w.elapsed, w.dials, w.breaks
}
