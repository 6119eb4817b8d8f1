package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

const (
	statusEvery   = 5 * time.Second // least time between two readings of the store
	statusTimeout = 2 * time.Minute // longest reading
	statusRefresh = 30              // seconds after which a browser loads the page again
	statusQuiet   = 10              // a reading that took t is followed by none for this many t
	statusCSP     = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// statusPage serves the page. Requests do not read the store: they get the last reading, and one of
// them at a time starts the next if it is due, so that a flood costs the store nothing.
type statusPage struct {
	read func(context.Context) report.Status
	// local refuses requests for another host than this machine: a hostile site whose name resolves to
	// 127.0.0.1 must not read the page through the operator's browser.
	local bool
	now   func() time.Time

	mu      sync.Mutex
	busy    bool
	due     time.Time
	current *statusBody
	first   chan struct{} // closed when there is a first reading
}

type statusBody struct {
	page []byte
	etag string
}

func newStatusPage(read func(context.Context) report.Status, local bool) *statusPage {
	return &statusPage{read: read, local: local, now: time.Now, first: make(chan struct{})}
}

// handler routes: the page and nothing else.
func (p *statusPage) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.serve)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", statusCSP)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if p.local && !localHost(r.Host) {
			http.Error(w, "ask for this machine by its address", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// localHost tells whether a Host header names this machine.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *statusPage) serve(w http.ResponseWriter, r *http.Request) {
	b, err := p.get(r.Context())
	if err != nil {
		http.Error(w, "not read yet", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", b.etag)
	if _, still := r.URL.Query()["still"]; !still {
		h.Set("Refresh", strconv.Itoa(statusRefresh))
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.page))
}

// get returns the last reading, and starts the next one if it is due. Only before the first does it wait.
func (p *statusPage) get(ctx context.Context) (*statusBody, error) {
	p.mu.Lock()
	if !p.busy && !p.now().Before(p.due) {
		p.busy = true
		go p.refresh()
	}
	b := p.current
	p.mu.Unlock()
	if b != nil {
		return b, nil
	}
	select {
	case <-p.first:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.current, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refresh reads the store; no request's end stops it.
func (p *statusPage) refresh() {
	start := p.now()
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	data := p.read(ctx)
	data.Refresh = statusRefresh
	var page bytes.Buffer
	if err := report.WriteStatus(&page, data); err != nil { // the data has a title and a buffer takes all
		page.Reset()
		page.WriteString("the page cannot be made")
	}
	sum := sha256.Sum256(page.Bytes())
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.now()
	p.busy, p.due = false, end.Add(max(statusEvery, statusQuiet*end.Sub(start)))
	if p.current == nil {
		close(p.first)
	}
	p.current = &statusBody{page.Bytes(), `"` + hex.EncodeToString(sum[:16]) + `"`}
}
