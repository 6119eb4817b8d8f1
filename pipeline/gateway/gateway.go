// Package gateway takes reports over HTTP from vehicles that hold no keys to the store, and
// serves them the few public objects that they need.
//
// Call [New] for an http.Handler and [NewServer] for a server that is hardened for the open internet.
// pipeline/gateway/remote is the vehicle's side, GATEWAY.md the protocol between them.
//
// A vehicle logs in to one round by a signature of the key that the round's enrollment snapshot names.
// It announces a report by its signed header and the hashes of its pieces; from then on the gateway
// takes exactly these bytes, under names that it computes itself, and the header object only once all
// pieces are there. So a vehicle can write nothing but reports of its own, at most [Limits.Reports] a
// round. What is acknowledged is durable in the store. No piece is held in memory.
//
// The gateway is trusted with liveness only: what it lets through is checked again by every role. It
// learns what the store learns, and the vehicles' addresses.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Config is everything that a gateway is built from.
type Config struct {
	Store storage.Store    // required
	Owner schema.PublicKey // the pinned key of the privacy owner; required
	Tasks []schema.TaskID  // that are served; nil: all that the owner signed
	// Names are the hosts by which vehicles reach this gateway, as in their URLs, without ports. A
	// login for another name is refused. Required.
	Names  []string
	Limits Limits
	// Presign lets vehicles put pieces straight into the store, which must be a storage.Presigner. The
	// gateway then reads every piece back before a report commits.
	Presign bool
	Log     *slog.Logger      // one line for each request, without payload, tokens and addresses; default none
	Observe func(Observation) // is told of each request when it ends; for metrics
	Now     func() time.Time  // default time.Now; for the expiry of keys, challenges and tokens
}

// Observation is one request, for metrics and traces. It names no vehicle; all strings are from small sets.
type Observation struct {
	Route    string // "challenge", "login", "object", "announce", "piece", "presign", "header", "health" or "none"
	Status   int
	Code     string // of a refusal, "" of a success
	Bytes    int64  // of the request's body that were read
	Duration time.Duration
	Round    pipeline.RoundName // that the vehicle is logged in to, zero if it is not; for traces, not for labels
}

// Stats is what a gateway holds at the moment.
type Stats struct {
	Uploads   int   // bodies of vehicles that are logged in, being read
	Announced int   // reports that are remembered
	Memory    int64 // bytes that they take
	Rounds    int   // rounds that are loaded
}

// Gateway is the handler. Make one with New.
type Gateway struct {
	config  Config
	names   map[string]bool
	rounds  *rounds
	tokens  *tokens
	uploads *uploads
	rates   *rates
	places  *places
	stops   atomic.Bool

	committing committing
}

// New checks the configuration.
func New(c Config) (*Gateway, error) {
	if c.Store == nil || c.Owner.IsZero() || len(c.Names) == 0 {
		return nil, errors.New("gateway: store, owner and names are required")
	}
	if _, ok := c.Store.(storage.Presigner); c.Presign && !ok {
		return nil, errors.New("gateway: the store cannot presign")
	}
	limits, err := c.Limits.complete()
	if err != nil {
		return nil, err
	}
	c.Limits = limits
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{config: c, names: map[string]bool{}, places: newPlaces(limits.Uploads)}
	for _, name := range c.Names {
		g.names[strings.ToLower(name)] = true
	}
	if g.tokens, err = newTokens(c.Now, limits.TokenLife); err != nil {
		return nil, err
	}
	g.rounds = newRounds(c.Store, c.Owner, c.Tasks, limits.Rounds)
	g.uploads = newUploads(limits.Memory)
	g.rates = newRates(c.Now, limits.Rate, limits.Burst)
	return g, nil
}

// Drain makes the gateway refuse new uploads and call itself not ready; requests under way go on.
func (g *Gateway) Drain() { g.stops.Store(true) }

// Stats returns what the gateway holds.
func (g *Gateway) Stats() Stats {
	n, memory := g.uploads.size()
	return Stats{Uploads: len(g.places.uploads), Announced: n, Memory: memory, Rounds: g.rounds.size()}
}

// exchange is one request with its answer.
type exchange struct {
	http.ResponseWriter
	request *http.Request
	route   string
	status  int
	read    int64              // bytes of the body
	vehicle *schema.VehicleID  // that is logged in
	round   pipeline.RoundName // for which it is
	attrs   []slog.Attr

	patience time.Duration
}

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *exchange) note(attrs ...slog.Attr) { x.attrs = append(x.attrs, attrs...) }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{ResponseWriter: w, request: r, route: "none"}
	defer g.noticePanic(x)
	g.deadlines(x)
	handler, err := g.route(x)
	if err == nil {
		err = handler(x)
	}
	code := ""
	if err != nil {
		code = g.refuse(x, err)
	}
	elapsed := time.Since(start)
	if g.config.Observe != nil {
		g.config.Observe(Observation{Route: x.route, Status: x.status, Code: code, Bytes: x.read, Duration: elapsed, Round: x.round})
	}
	g.log(x, code, err, elapsed)
}

// noticePanic logs a mistake in our own code, which net/http would swallow, and lets it end the request.
func (g *Gateway) noticePanic(x *exchange) {
	if p := recover(); p != nil {
		g.config.Log.LogAttrs(x.request.Context(), slog.LevelError, "panic", slog.String("route", x.route), slog.String("value", fmt.Sprint(p)))
		panic(p)
	}
}

// deadlines gives every request with a body a first deadline, also one whose body no handler reads: the
// server reads what is left of it. A request without one must have none, or the server would
// take its end for that of the connection.
func (g *Gateway) deadlines(x *exchange) {
	control := http.NewResponseController(x)
	_ = control.SetWriteDeadline(time.Time{}) // that of the last answer on this connection
	if x.request.ContentLength != 0 {
		_ = control.SetReadDeadline(time.Now().Add(g.config.Limits.Idle))
	}
	x.patience = g.config.Limits.Idle
}

// answering bounds the time that an answer may wait for a client that does not read.
func (x *exchange) answering() {
	_ = http.NewResponseController(x).SetWriteDeadline(time.Now().Add(x.patience))
}

func (g *Gateway) log(x *exchange, code string, err error, elapsed time.Duration) {
	level := slog.LevelInfo
	if x.route == "health" || x.route == "challenge" {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("route", x.route), slog.Int("status", x.status), slog.Int64("bytes", x.read),
		slog.Float64("ms", float64(elapsed.Microseconds())/1000),
	}
	if code != "" {
		attrs = append(attrs, slog.String("code", code))
	}
	if code == wire.CodeUnavailable && x.route != "health" {
		level = slog.LevelWarn
	}
	if cause := causeOf(err); cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	g.config.Log.LogAttrs(x.request.Context(), level, "request", append(attrs, x.attrs...)...)
}

type handler func(*exchange) error

// route finds the handler. Paths are taken as they were sent: nothing is unescaped or cleaned.
func (g *Gateway) route(x *exchange) (handler, error) {
	path := x.request.URL.Path
	if x.request.URL.EscapedPath() != path || x.request.URL.RawQuery != "" || x.request.URL.ForceQuery {
		return nil, refuse(wire.CodeNotFound, "no such path")
	}
	rest, isReport := strings.CutPrefix(path, wire.PathReports+"/")
	key, isObject := strings.CutPrefix(path, wire.PathObjects)
	switch {
	case path == "/healthz" || path == "/readyz":
		x.route = "health"
		return g.health, x.only(http.MethodGet, http.MethodHead)
	case path == wire.PathChallenge:
		x.route = "challenge"
		return g.challenge, x.only(http.MethodPost)
	case path == wire.PathLogin:
		x.route = "login"
		return g.login, x.only(http.MethodPost)
	case isObject:
		x.route = "object"
		return func(x *exchange) error { return g.object(x, key) }, x.only(http.MethodGet, http.MethodHead)
	case path == wire.PathReports:
		x.route = "announce"
		return g.announce, x.only(http.MethodPost)
	case isReport:
		return g.routeReport(x, rest)
	}
	return nil, refuse(wire.CodeNotFound, "no such path")
}

// routeReport reads "ID/header" and "ID/pieces/J".
func (g *Gateway) routeReport(x *exchange, rest string) (handler, error) {
	parts := strings.Split(rest, "/")
	d, err := schema.ParseDigest(parts[0])
	id := schema.ReportID{Digest: d}
	if err == nil && rest == parts[0]+"/header" {
		x.route = "header"
		return func(x *exchange) error { return g.header(x, id) }, x.only(http.MethodPut)
	}
	if err == nil && len(parts) == 3 && parts[1] == "pieces" {
		j, err := strconv.Atoi(parts[2])
		if err == nil && strconv.Itoa(j) == parts[2] {
			x.route = "piece"
			if g.config.Presign && x.request.Method == http.MethodPost {
				x.route = "presign"
				return func(x *exchange) error { return g.presign(x, id, j) }, nil
			}
			return func(x *exchange) error { return g.piece(x, id, j) }, x.only(http.MethodPut)
		}
	}
	return nil, refuse(wire.CodeNotFound, "no such path")
}

func (x *exchange) only(methods ...string) error {
	for _, m := range methods {
		if x.request.Method == m {
			return nil
		}
	}
	x.Header().Set("Allow", strings.Join(methods, ", "))
	return refuse(wire.CodeNoMethod, "this path takes %s", strings.Join(methods, " or "))
}

// health answers for load balancers: alive always, ready while uploads are taken.
func (g *Gateway) health(x *exchange) error {
	if x.request.URL.Path == "/readyz" && g.stops.Load() {
		return unavailable(nil, "stopping")
	}
	x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(x, "ok\n") // a client that is gone needs no answer
	return nil
}

// Ready tells whether the store can be reached: that its answer is "no such object" or better.
func (g *Gateway) Ready(ctx context.Context) error {
	if g.stops.Load() {
		return errors.New("gateway: stopping")
	}
	_, err := g.config.Store.Stat(ctx, "veilsum.json")
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("gateway: store: %w", err)
	}
	return nil
}
