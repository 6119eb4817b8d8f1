package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestLogin: a login is worth something once, at this gateway, for this vehicle in its own lane and round.
func TestLogin(t *testing.T) {
	f := pipelinetest.New(t, 3, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0)
	x.want(x.send(x.signed("127.0.0.1", nil)), 200, "")
	for name, change := range map[string]func(*login){
		"another vehicle's name": func(l *login) { l.Vehicle = f.Vehicles[1].ID },
		"a stranger":             func(l *login) { l.Vehicle[0]++ },
		"another descriptor":     func(l *login) { l.RoundID.Digest[5]++ },
	} {
		t.Log(name)
		x.want(x.send(x.signed("127.0.0.1", change)), 403, "refused")
	}
	x.want(x.send(x.signed("127.0.0.1", func(l *login) { l.Epoch = 2 })), 425, "not_ready")
	x.want(x.send(x.signed("127.0.0.1", func(l *login) { l.Lane = 1 })), 404, "not_found")
	x.want(x.send(x.signed("127.0.0.1", func(l *login) { l.TaskID.Digest[0]++ })), 404, "not_found")
	x.want(x.send(x.signed("127.0.0.1", func(l *login) { l.Version = 2 })), 400, "malformed")
	x.want(x.send(x.signed("127.0.0.1", func(l *login) { l.Challenge = l.Challenge[1:] })), 401, "login")
	x.want(x.send(x.signed("127.0.0.1", func(l *login) { l.Challenge = strings.Repeat("A", len(l.Challenge)) })), 401, "login")
	stranger := newAttack(t, s, f, r, 0)
	stranger.v = client.Identity{ID: x.v.ID, Key: f.Vehicles[1].Key}
	x.want(stranger.send(stranger.signed("127.0.0.1", nil)), 403, "refused")
	big := x.do(http.MethodPost, "/v1/login", []byte(strings.Repeat(" ", 2049)))
	x.want(big, 413, "too_large")
	x.want(x.do(http.MethodPost, "/v1/login", []byte("{}"), "Chunked", ""), 411, "length")
}

// TestLoginReplay: what was recorded, or obtained by another server, does not log in.
func TestLoginReplay(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	x := newAttack(t, s, f, f.Open(1), 0)

	used := x.signed("127.0.0.1", nil)
	x.want(x.send(used), 200, "")
	x.want(x.send(used), 401, "login") // the same again

	// A server that vehicles take for their gateway passes their logins on.
	relayed := x.signed("other.example", nil)
	x.want(x.send(relayed), 403, "refused")
	x.want(x.send(relayed, "Host", "other.example"), 421, "gateway")
	x.want(x.send(x.signed("127.0.0.1", nil), "Host", "127.0.0.1:9"), 200, "") // a port is no other gateway

	late := x.signed("127.0.0.1", nil)
	*f.Clock = f.Clock.Add(2 * time.Minute)
	x.want(x.send(late), 401, "login")

	foreign := x.signed("127.0.0.1", nil)
	s.Restart()
	x.want(x.send(foreign), 401, "login")
	x.want(x.send(x.signed("127.0.0.1", nil)), 200, "")
}

// TestToken: only a whole token of this process, in its time, for its own round.
func TestToken(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	good := x.token
	challenge := x.challenge()
	for _, bad := range []string{"", good[1:], good + "A", "A" + good[1:], good[:len(good)-2] + "AA", strings.ToUpper(good), challenge, strings.Repeat("x", 5000)} {
		x.token = bad
		x.want(x.announce(rep, parts), 401, "login")
		x.want(x.put(headerPath(rep), rep.Bytes()), 401, "login")
		x.want(x.put(piecePath(rep, 0), parts[0]), 401, "login")
	}
	x.token = good
	second := newAttack(t, s, f, f.Open(2), 0).enter()
	second.want(second.announce(rep, parts), 403, "refused") // a report of round 1 with a token of round 2
	second.want(second.put(piecePath(rep, 0), parts[0]), 403, "refused")
	other := newAttack(t, s, f, r, 1).enter()
	other.want(other.announce(rep, parts), 403, "refused")
	other.want(other.put(piecePath(rep, 0), parts[0]), 403, "refused")
	other.want(other.put(headerPath(rep), rep.Bytes()), 403, "refused")
	*f.Clock = f.Clock.Add(15 * time.Minute)
	x.want(x.announce(rep, parts), 401, "login")
	x.enter()
	s.Restart()
	x.want(x.announce(rep, parts), 401, "login")
}

// TestRoundIsOver: nobody logs in, and nobody commits, after the keys expired or the receipt was written.
func TestRoundIsOver(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Limits.TokenLife = 24 * time.Hour })
	for epoch, end := range []func(r *pipeline.Round){
		func(r *pipeline.Round) { _, _ = f.Collector.Abort(ctx, f.Store, r, "test") },
		func(r *pipeline.Round) { *f.Clock = time.Unix(r.Descriptor.KeyExpiry, 0) },
	} {
		r := f.Open(uint64(epoch + 1))
		x := newAttack(t, s, f, r, 0).enter()
		rep, parts := x.forge(x.v, pipelinetest.Forgery{})
		x.want(x.announce(rep, parts), 200, "")
		x.want(x.put(piecePath(rep, 0), parts[0]), 201, "")
		end(r)
		x.want(x.send(x.signed("127.0.0.1", nil)), 403, "refused")
		x.want(x.announce(rep, parts), 403, "refused")
		x.want(x.put(headerPath(rep), rep.Bytes()), 403, "refused")
		if _, err := f.Store.Stat(ctx, pipeline.HeaderKey(r.Name, rep.ID)); err == nil {
			t.Error("a report was committed after the end")
		}
	}
}

// TestLanesAtTheGateway: a vehicle logs in to its own lane only.
func TestLanesAtTheGateway(t *testing.T) {
	task := pipelinetest.Task(100)
	task.Batch.Lanes = 2
	f := pipelinetest.New(t, 8, task)
	s := gatewaytest.Start(f, nil)
	r := f.Open(1) // lane 0
	seen := map[int]bool{}
	for i, v := range f.Vehicles {
		x := newAttack(t, s, f, r, i)
		if schema.LaneOf(f.TaskID, 1, v.ID, 2) == 0 {
			x.want(x.send(x.signed("127.0.0.1", nil)), 200, "")
			seen[0] = true
		} else {
			x.want(x.send(x.signed("127.0.0.1", nil)), 403, "refused")
			seen[1] = true
		}
	}
	if len(seen) < 2 {
		t.Skip("all vehicles have one lane: one run in 128")
	}
}

// TestTasks: a gateway that is set up for one task does not know another.
func TestTasks(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	first := f.TaskID
	other := pipelinetest.Task(50)
	other.Committee, other.Collector, other.Authority, other.Owner = f.Task.Committee, f.Task.Collector, f.Task.Authority, f.Task.Owner
	f.Use(other)
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Tasks = []schema.TaskID{first} })
	x := newAttack(t, s, f, f.Open(1), 0)
	x.want(x.send(x.signed("127.0.0.1", nil)), 404, "not_found")
	x.want(x.do(http.MethodGet, "/v1/objects/"+pipeline.TaskKey(f.TaskID), nil), 404, "not_found")
	x.want(x.do(http.MethodGet, "/v1/objects/"+pipeline.TaskKey(first), nil), 200, "")
}

// TestNewGateway: what a gateway cannot work without is required.
func TestNewGateway(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	whole := gateway.Config{Store: f.Store, Owner: schema.NewPublicKey(f.Owner), Names: []string{"x"}}
	if _, err := gateway.New(whole); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*gateway.Config){
		"store": func(c *gateway.Config) { c.Store = nil }, "owner": func(c *gateway.Config) { c.Owner = schema.PublicKey{} }, "names": func(c *gateway.Config) { c.Names = nil },
		"uploads": func(c *gateway.Config) { c.Limits.Uploads = -1 }, "reports": func(c *gateway.Config) { c.Limits.Reports = 9 }, "idle": func(c *gateway.Config) { c.Limits.Idle = -1 },
	} {
		c := whole
		change(&c)
		if _, err := gateway.New(c); err == nil {
			t.Error(name, "is not checked")
		}
	}
}

// token decodes a login's answer.
func (a answer) token(t testing.TB) string {
	t.Helper()
	var m struct{ Token string }
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatal(err)
	}
	return m.Token
}
