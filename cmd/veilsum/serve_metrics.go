package main

import (
	"net"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/veilsum/veilsum/pipeline/gateway"
)

// serveMetrics are the gateway's own registry and what is in it. No label names a vehicle or a round.
type serveMetrics struct {
	registry    *prometheus.Registry
	requests    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	bytes       *prometheus.CounterVec
	connections prometheus.Gauge
}

func newServeMetrics() *serveMetrics {
	m := &serveMetrics{
		registry: newRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "veilsum_gateway_requests_total", Help: "Requests by route, status and code of a refusal.",
		}, []string{"route", "status", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "veilsum_gateway_request_seconds", Help: "Time of a request, with the vehicle's link.",
			Buckets: []float64{.005, .025, .1, .5, 2, 10, 60, 300, 1800},
		}, []string{"route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "veilsum_gateway_body_bytes_total", Help: "Bytes of request bodies that were read.",
		}, []string{"route"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "veilsum_gateway_connections", Help: "Open connections of vehicles."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.bytes, m.connections)
	return m
}

func (m *serveMetrics) observe(o gateway.Observation) {
	m.requests.WithLabelValues(o.Route, strconv.Itoa(o.Status), o.Code).Inc()
	m.seconds.WithLabelValues(o.Route).Observe(o.Duration.Seconds())
	m.bytes.WithLabelValues(o.Route).Add(float64(o.Bytes))
}

// watch adds what the gateway holds at the moment.
func (m *serveMetrics) watch(g *gateway.Gateway) {
	for _, x := range []struct {
		name, help string
		value      func(gateway.Stats) float64
	}{
		{"veilsum_gateway_uploads", "Bodies that are being read.", func(s gateway.Stats) float64 { return float64(s.Uploads) }},
		{"veilsum_gateway_announced_reports", "Announced reports in memory.", func(s gateway.Stats) float64 { return float64(s.Announced) }},
		{"veilsum_gateway_announced_bytes", "Memory of announced reports.", func(s gateway.Stats) float64 { return float64(s.Memory) }},
		{"veilsum_gateway_rounds", "Rounds in memory.", func(s gateway.Stats) float64 { return float64(s.Rounds) }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: x.name, Help: x.help}, func() float64 { return x.value(g.Stats()) }))
	}
}

// connection counts open connections.
func (m *serveMetrics) connection(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		m.connections.Inc()
	case http.StateClosed, http.StateHijacked:
		m.connections.Dec()
	}
}

// serve answers /metrics, /healthz and /readyz on an address of its own, which operators keep to themselves.
func (m *serveMetrics) serve(address string, g *gateway.Gateway, failed chan<- error) (*http.Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, withHint(err, "choose another --metrics")
	}
	mux := metricsMux(m.registry)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := g.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return innerServer(l, mux, failed), nil
}
