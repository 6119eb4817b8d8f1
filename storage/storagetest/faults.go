package storagetest

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what a [FaultProxy] does to a request.
type Fault int

// The faults. After LoseResponse, Status500, CutResponse, Reset and Slow the server
// has done its work.
const (
	None         Fault = iota
	LoseRequest        // the connection breaks before the server hears of it
	LoseResponse       // the connection breaks after the server answered
	Status503          // the proxy answers 503, the server hears nothing
	Status500          // the server acts, the proxy answers 500
	CutRequest         // the server gets half of the body, and then the connection breaks
	CutResponse        // the client gets half of the body, and then the connection breaks
	Reset              // the connection is reset after the server answered
	Slow               // the answer takes 30 ms longer
	faults
)

// String names the fault.
func (f Fault) String() string {
	return [faults]string{"no fault", "lost request", "lost response", "503", "500 after commit", "cut request", "cut response", "reset", "slow"}[f]
}

// Faults returns all faults but None.
func Faults() (all []Fault) {
	for f := LoseRequest; f < faults; f++ {
		all = append(all, f)
	}
	return all
}

// FaultProxy stands before a server and spoils requests.
type FaultProxy struct {
	target string // scheme and host
	client http.RoundTripper
	mu     sync.Mutex
	next   func(*http.Request) Fault
	counts [faults]int
}

// StartFaultProxy stands before the server in the URL of a store, as StartVersityGW
// returns it, until the test ends. It returns the URL of the same
// store through the proxy, which speaks TLS if the server does. next chooses the fault of each request; it is called
// by one goroutine at a time.
func StartFaultProxy(t testing.TB, raw string, next func(*http.Request) Fault) (string, *FaultProxy) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	p := &FaultProxy{target: "http://" + query.Get("endpoint"), next: next}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	p.client = transport
	server := httptest.NewUnstartedServer(p)
	t.Cleanup(server.Close)
	if query.Get("tls") == "true" {
		p.target = "https://" + query.Get("endpoint")
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // a server of this test, on this machine
		server.StartTLS()
		ca := filepath.Join(tempDir(t), "proxy.pem")
		writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
		query.Set("ca", ca)
	} else {
		server.Start()
	}
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
	response, err := p.forward(r, fault)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	p.respond(w, response, fault)
}

// forward sends the request to the server, or half of it.
func (p *FaultProxy) forward(r *http.Request, fault Fault) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host, _ = strings.Cut(p.target, "://")
	if out.ContentLength == 0 {
		out.Body = nil // else it would be sent in chunks, which some servers refuse
	}
	if fault == CutRequest && r.ContentLength > 0 {
		out.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), brokenReader{}))
	}
	return p.client.RoundTrip(out)
}

// brokenReader is where a request breaks off.
type brokenReader struct{}

// Read implements io.Reader.
func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// respond hands the answer of the server on, or spoils it.
func (p *FaultProxy) respond(w http.ResponseWriter, response *http.Response, fault Fault) {
	switch fault {
	case LoseResponse:
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
	case Status500:
		answer(w, http.StatusInternalServerError, "InternalError")
		return
	case Slow:
		time.Sleep(30 * time.Millisecond)
	}
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	var source io.Reader = response.Body
	if fault == CutResponse && response.ContentLength > 0 {
		source = io.LimitReader(source, response.ContentLength/2)
	}
	if _, err := io.Copy(w, source); err != nil || fault == CutResponse {
		panic(http.ErrAbortHandler)
	}
}

// reset ends a connection so that the other side sees "connection reset by peer".
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	under := conn
	if secure, ok := conn.(*tls.Conn); ok {
		under = secure.NetConn()
	}
	if tcp, ok := under.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = under.Close()
	panic(http.ErrAbortHandler)
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>injected fault</Message></Error>", code)
}
