package main

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/veilsum/veilsum/cmd/internal/version"
)

// newRegistry is a registry of its own with what every long-running role tells of its process.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "veilsum_build_info", Help: "1, labeled with the version of the program.",
		ConstLabels: prometheus.Labels{"version": version.New("veilsum").Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// metricsMux answers /metrics and /healthz.
func metricsMux(r *prometheus.Registry) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return mux
}

// innerServer serves an address that operators keep to themselves; Addr is the one it got. Close it.
func innerServer(l net.Listener, h http.Handler, failed chan<- error) *http.Server {
	s := &http.Server{Addr: l.Addr().String(), Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go func() { failed <- s.Serve(l) }()
	return s
}

// loopbackListen listens on an address, on this machine only if it names no host. Another host than
// this machine needs the flag named by public.
func loopbackListen(flag, address string, allowed bool, public string) (net.Listener, error) {
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return nil, usage("%s %q: want PORT or HOST:PORT", flag, address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !allowed {
		return nil, &usageError{Err: fmt.Errorf("%s %s: others could read it without a password", flag, address), Hint: "listen on 127.0.0.1, or give " + public + " if a firewall or a proxy guards the address"}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, withHint(err, "choose another %s", flag)
	}
	return l, nil
}
