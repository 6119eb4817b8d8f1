package storagetest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// Fault is what a [FaultProxy] does to a request.
type Fault int

// The faults. After LoseResponse and Status500 the server has done its work.
const (
	None         Fault = iota
	LoseRequest        // the connection breaks before the server hears of it
	LoseResponse       // the connection breaks after the server answered
	Status503          // the proxy answers 503, the server hears nothing
	Status500          // the server acts, the proxy answers 500
	faults
)

// String names the fault.
func (f Fault) String() string {
	return [faults]string{"no fault", "lost request", "lost response", "503", "500 after commit"}[f]
}

// FaultProxy stands before a server and spoils requests.
type FaultProxy struct {
	target string
	mu     sync.Mutex
	next   func(*http.Request) Fault
	counts [faults]int
}

// StartFaultProxy stands before the plain http server in the URL of a store, as
// StartVersityGW returns it, until the test ends. It returns the URL of the same
// store through the proxy. next chooses the fault of each request; it is called
// by one goroutine at a time.
func StartFaultProxy(t testing.TB, raw string, next func(*http.Request) Fault) (string, *FaultProxy) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	p := &FaultProxy{target: query.Get("endpoint"), next: next}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	query.Set("endpoint", server.Listener.Addr().String())
	u.RawQuery = query.Encode()
	return u.String(), p
}

// RandomFaults spoils the given percentage of requests, all faults being equally
// likely. Equal seeds give equal sequences, though not to equal requests if
// several run at once.
func RandomFaults(seed uint64, percent int) func(*http.Request) Fault {
	r := rand.New(rand.NewPCG(seed, 0))
	return func(*http.Request) Fault {
		if r.IntN(100) >= percent {
			return None
		}
		return LoseRequest + Fault(r.IntN(int(faults-LoseRequest)))
	}
}

// Count returns how many requests met the fault.
func (p *FaultProxy) Count(fault Fault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[fault]
}

func (p *FaultProxy) choose(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := p.next(r)
	p.counts[fault]++
	return fault
}

// ServeHTTP forwards or spoils one request. Host and headers stay as they are:
// they are signed.
func (p *FaultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := p.choose(r)
	switch fault {
	case LoseRequest:
		panic(http.ErrAbortHandler)
	case Status503:
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, http.StatusServiceUnavailable, "SlowDown")
		return
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.target, ""
	response, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	switch fault {
	case LoseResponse:
		panic(http.ErrAbortHandler)
	case Status500:
		answer(w, http.StatusInternalServerError, "InternalError")
		return
	}
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	if _, err := io.Copy(w, response.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>injected fault</Message></Error>", code)
}
