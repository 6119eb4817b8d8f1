package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
)

// challenge hands out what a login has to sign. It needs no memory.
func (g *Gateway) challenge(x *exchange) error {
	c, err := g.tokens.challenge()
	if err != nil {
		return err
	}
	return x.reply(http.StatusOK, c)
}

// login exchanges a signature of the enrolled key for a token.
func (g *Gateway) login(x *exchange) error {
	name := hostOf(x.request.Host)
	if !g.names[name] {
		return refuse(wire.CodeGateway, "this gateway has another name")
	}
	body, err := g.small(x, wire.MaxLogin)
	if err != nil {
		return err
	}
	var l wire.Login
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil || d.More() || l.Version != wire.Version {
		return refuse(wire.CodeMalformed, "no login of version %d", wire.Version)
	}
	if !g.tokens.fresh(l.Challenge) {
		return refuse(wire.CodeLogin, "the challenge is not this gateway's, has expired or was used")
	}
	b := bearer{vehicle: l.Vehicle, round: pipeline.RoundName{Task: l.TaskID, Epoch: l.Epoch, Lane: l.Lane}}
	x.note(slog.String("vehicle", l.Vehicle.String()), slog.String("round", b.round.String()))
	if err := g.enrolled(x, l, name); err != nil {
		return err
	}
	if err := g.rates.take(l.Vehicle); err != nil {
		return err
	}
	ok, err := g.tokens.spend(l.Challenge)
	if err != nil {
		return err
	}
	if !ok {
		return refuse(wire.CodeLogin, "the challenge was used")
	}
	return x.reply(http.StatusOK, g.tokens.mint(b))
}

// enrolled checks the signature with the key that the round's snapshot has for the vehicle.
func (g *Gateway) enrolled(x *exchange, l wire.Login, name string) error {
	r, err := g.open(x, pipeline.RoundName{Task: l.TaskID, Epoch: l.Epoch, Lane: l.Lane})
	if err != nil {
		return err
	}
	if r.ID != l.RoundID {
		return refuse(wire.CodeRefused, "the store has another descriptor for this round")
	}
	if schema.LaneOf(l.TaskID, l.Epoch, l.Vehicle, r.Task.Batch.Lanes) != l.Lane {
		return refuse(wire.CodeRefused, "the vehicle belongs to another lane")
	}
	key, ok := r.Snapshot.Key(l.Vehicle)
	if !ok || l.Verify(key, name) != nil {
		return refuse(wire.CodeRefused, "the vehicle is not enrolled with this key")
	}
	return nil
}

// open returns a round that still takes reports.
func (g *Gateway) open(x *exchange, n pipeline.RoundName) (*pipeline.Round, error) {
	r, err := g.rounds.round(x.request.Context(), n, g.goesOn)
	return r, roundError(err)
}

// goesOn wants a round that has not ended.
func (g *Gateway) goesOn(ctx context.Context, r *pipeline.Round) error {
	if g.config.Now().Unix() >= r.Descriptor.KeyExpiry {
		return refuse(wire.CodeRefused, "the round's keys have expired")
	}
	return pipeline.Ended(ctx, g.config.Store, r)
}

// bearer returns whom the request's token stands for, and counts the request.
func (g *Gateway) bearer(x *exchange) (bearer, error) {
	token, ok := strings.CutPrefix(x.request.Header.Get("Authorization"), "Bearer ")
	b, valid := g.tokens.parse(token)
	if !ok || !valid {
		x.Header().Set("WWW-Authenticate", `Bearer realm="veilsum"`)
		return bearer{}, refuse(wire.CodeLogin, "log in first: the token is missing, not this gateway's, or has expired")
	}
	x.vehicle, x.round = &b.vehicle, b.round
	x.note(slog.String("vehicle", b.vehicle.String()), slog.String("round", b.round.String()))
	return b, g.rates.take(b.vehicle)
}

// hostOf returns the host of an authority in lower case, without port and brackets.
func hostOf(authority string) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.Trim(authority, "[]")
	}
	return strings.ToLower(host)
}

// reply sends a message.
func (x *exchange) reply(status int, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return errors.Join(errors.New("gateway: encode an answer"), err)
	}
	x.Header().Set("Content-Type", "application/json")
	x.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.Header().Set("Cache-Control", "no-store")
	x.answering()
	x.WriteHeader(status)
	_, _ = x.Write(body) // a vehicle that is gone asks again
	return nil
}
