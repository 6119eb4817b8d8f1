package gateway_test

import (
	"bytes"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// TestForgedAnnouncements: nothing is taken that the vehicle did not sign for this round, and nothing is written.
func TestForgedAnnouncements(t *testing.T) {
	f := pipelinetest.New(t, 2, pieces(1500))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	for name, g := range map[string]pipelinetest.Forgery{
		"another key":      {Key: f.Vehicles[1].Key},
		"another round":    {Header: func(h *schema.Header) { h.RoundID.Digest[0]++ }},
		"another epoch":    {Header: func(h *schema.Header) { h.Epoch++ }},
		"another lane":     {Header: func(h *schema.Header) { h.Lane++ }},
		"another vehicle":  {Header: func(h *schema.Header) { h.Vehicle = f.Vehicles[1].ID }},
		"a stranger":       {Header: func(h *schema.Header) { h.Vehicle[0]++ }},
		"another's report": {Header: func(h *schema.Header) { h.Vehicle = f.Vehicles[1].ID }, Key: f.Vehicles[1].Key},
	} {
		f.Unchanged(nil, func() error {
			t.Log(name)
			rep, parts := x.forge(x.v, g)
			x.want(x.announce(rep, parts), 403, "refused")
			x.want(x.put(piecePath(rep, 0), parts[0]), 428, "announce")
			x.want(x.put(headerPath(rep), rep.Bytes()), 428, "announce")
			return nil
		})
	}
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	b := announcement(rep, parts)
	f.Unchanged(nil, func() error {
		x.want(x.do(http.MethodPost, "/v1/reports", b[:len(b)-1]), 400, "malformed")
		x.want(x.do(http.MethodPost, "/v1/reports", append(bytes.Clone(b), 0)), 413, "too_large")
		x.want(x.do(http.MethodPost, "/v1/reports", nil), 400, "malformed")
		x.want(x.do(http.MethodPost, "/v1/reports", b, "Chunked", ""), 411, "length")
		for _, at := range []int{0, 100, len(head(rep)) - 1, len(b) - 1} { // magic, vehicle, signature, hash of a piece
			wrong := bytes.Clone(b)
			wrong[at] ^= 1
			if a := x.do(http.MethodPost, "/v1/reports", wrong); a.status != 400 && a.status != 403 {
				t.Errorf("byte %d changed: %v", at, a)
			}
		}
		return nil
	})
	x.want(x.do(http.MethodPost, "/v1/reports", b), 200, "")
}

// TestPieces: only the announced bytes, with a true length and digest, under the names that the gateway computes.
func TestPieces(t *testing.T) {
	f := pipelinetest.New(t, 2, pieces(1500))
	s := gatewaytest.Start(f, nil)
	x := newAttack(t, s, f, f.Open(1), 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	p, path := parts[1], piecePath(rep, 1)
	wrong := bytes.Clone(p)
	wrong[len(p)-1] ^= 1
	f.Unchanged(nil, func() error {
		x.want(x.put(path, wrong), 422, "digest")                                               // well digested, but not announced
		x.want(x.put(path, parts[0]), 422, "digest")                                            // another piece
		x.want(x.do(http.MethodPut, path, wrong, "Content-Digest", digestOf(p)), 422, "digest") // damaged on the way
		x.want(x.do(http.MethodPut, path, p, "Content-Digest", digestOf(wrong)), 422, "digest")
		x.want(x.do(http.MethodPut, path, p), 400, "malformed")
		x.want(x.do(http.MethodPut, path, p, "Content-Digest", "md5=:AAAA:"), 400, "malformed")
		x.want(x.put(path, p[1:]), 400, "malformed")
		x.want(x.put(path, append(bytes.Clone(p), 0)), 413, "too_large")
		x.want(x.put(path, bytes.Repeat(p, 100)), 413, "too_large")
		x.want(x.do(http.MethodPut, path, p, "Content-Digest", digestOf(p), "Chunked", ""), 411, "length")
		x.want(x.put(piecePath(rep, len(parts)), p), 404, "not_found")
		x.want(x.put("/v1/reports/"+rep.ID.String()+"/pieces/-1", p), 404, "not_found")
		x.want(x.put("/v1/reports/"+rep.ID.String()+"/pieces/01", p), 404, "not_found")
		x.want(x.put("/v1/reports/"+strings.ToUpper(rep.ID.String())+"/pieces/1", p), 404, "not_found")
		x.want(x.put(headerPath(rep), rep.Bytes()), 412, "incomplete")
		return nil
	})
	x.want(x.put(path, p), 201, "")
	x.want(x.put(path, p), 200, "")
	if a := x.put(path, wrong); a.code != "conflict" && a.code != "digest" { // a store that streams tells without reading
		t.Error(a)
	}
	x.want(x.put(headerPath(rep), rep.Bytes()), 412, "incomplete")
	for j := range parts {
		if a := x.put(piecePath(rep, j), parts[j]); a.status != 201 && j != 1 {
			t.Error(a)
		}
	}
	b := rep.Bytes()
	for _, at := range []int{50, len(b) - 1, len(head(rep)), len(head(rep)) - 1} { // header, corr, box, signature
		wrong := bytes.Clone(b)
		wrong[at] ^= 1
		x.want(x.put(headerPath(rep), wrong), 422, "digest")
	}
	x.want(x.put(headerPath(rep), b[1:]), 400, "malformed")
	x.want(x.put(headerPath(rep), append(bytes.Clone(b), 0)), 413, "too_large")
	x.want(x.do(http.MethodPut, headerPath(rep), b, "Content-Digest", digestOf(b[1:])), 422, "digest")
	x.want(x.put(headerPath(rep), b), 201, "")
	// A vehicle that did not hear of it asks again, and so do others.
	x.want(x.put(headerPath(rep), b), 200, "")
	x.want(x.put(headerPath(rep), wrong), 400, "malformed")
	mauled := bytes.Clone(b)
	mauled[len(b)-1] ^= 1
	x.want(x.put(headerPath(rep), mauled), 422, "digest")
	x.want(x.announce(rep, parts), 200, "")
	s.Restart()
	x.enter()
	x.want(x.put(headerPath(rep), b), 200, "")
	x.want(x.put(piecePath(rep, 0), parts[0]), 428, "announce")
	y := newAttack(t, s, f, x.round, 1).enter()
	y.want(y.put(headerPath(rep), b), 403, "refused")
}

// TestOneReportOfAVehicle: the limits hold over restarts, and for requests at the same time.
func TestOneReportOfAVehicle(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	type report struct {
		rep   *schema.Report
		parts [][]byte
	}
	var all []report
	for range 8 {
		rep, parts := x.forge(x.v, pipelinetest.Forgery{})
		all = append(all, report{rep, parts})
	}
	var mu sync.Mutex
	var taken []report
	var group sync.WaitGroup
	for _, y := range all {
		group.Go(func() {
			if a := x.announce(y.rep, y.parts); a.status == 200 {
				mu.Lock()
				defer mu.Unlock()
				taken = append(taken, y)
			}
		})
	}
	group.Wait()
	if len(taken) != 2 {
		t.Fatalf("%d reports announced, 2 are allowed", len(taken))
	}
	s.Restart()
	x.enter()
	refused := 0
	for _, y := range all {
		if a := x.announce(y.rep, y.parts); a.code == "refused" {
			refused++
		}
	}
	if refused != 6 {
		t.Errorf("after a restart %d are refused, want 6", refused)
	}
	done := 0
	for _, y := range taken {
		x.want(x.put(piecePath(y.rep, 0), y.parts[0]), 201, "")
	}
	for _, y := range taken {
		group.Go(func() {
			if a := x.put(headerPath(y.rep), y.rep.Bytes()); a.status == 201 {
				mu.Lock()
				defer mu.Unlock()
				done++
			}
		})
	}
	group.Wait()
	if ids, err := pipeline.ListReports(ctx, f.Store, r.Name); err != nil || len(ids) != 1 || done != 1 {
		t.Errorf("%d reports of one vehicle, %d acknowledged, %v", len(ids), done, err)
	}
}

// TestPlantedPiece: who writes to the store behind the gateway can spoil a report, but not make it
// commit what the vehicle did not sign.
func TestPlantedPiece(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(1500))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	f.Put(pipeline.PieceKey(r.Name, rep.ID, 1), make([]byte, len(parts[1])))
	x.want(x.announce(rep, parts), 200, "")
	x.want(x.put(piecePath(rep, 0), parts[0]), 201, "")
	x.want(x.put(piecePath(rep, 1), parts[1]), 409, "conflict")
	x.want(x.put(headerPath(rep), rep.Bytes()), 409, "conflict")
	if err := f.Store.Delete(ctx, pipeline.PieceKey(r.Name, rep.ID, 1)); err != nil {
		t.Fatal(err)
	}
	x.want(x.put(headerPath(rep), rep.Bytes()), 412, "incomplete")
	x.want(x.put(piecePath(rep, 1), parts[1]), 201, "")
	x.want(x.put(headerPath(rep), rep.Bytes()), 201, "")
	if _, err := r.ReadReport(ctx, f.Store, rep.ID); err != nil {
		t.Error(err)
	}
}

// TestPaths: nothing but the few objects of a round can be read, and no spelling reaches another.
func TestPaths(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	r := f.Open(1)
	id := f.Report(r, 0)
	g, err := gateway.New(gateway.Config{Store: f.Store, Owner: schema.NewPublicKey(f.Owner), Names: []string{"x"}, Now: f.Now})
	if err != nil {
		t.Fatal(err)
	}
	get := func(method, target string) int {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w.Code
	}
	task := "/v1/objects/" + pipeline.TaskKey(f.TaskID)
	for _, target := range []string{task, "/v1/objects/" + pipeline.DescriptorKey(r.Name), "/v1/objects/" + pipeline.RoundKeyKey(r.Name, 3)} {
		if code := get(http.MethodGet, target); code != 200 {
			t.Error(target, code)
		}
	}
	for _, target := range []string{
		"/", "/v1", "/v1/objects", "/v1/objects/", "/v1/objects//" + pipeline.TaskKey(f.TaskID), task + "/", task + "?", task + "?x=1", task + "%20", strings.Replace(task, "task.json", "%74ask.json", 1),
		strings.Replace(task, "task.json", "../task.json", 1), strings.Replace(task, "/task.json", "/./task.json", 1), strings.Replace(task, "/v1/", "/v1//", 1), "/v1/objects/../../etc/passwd", "/v1/objects/%2e%2e/%2e%2e/etc/passwd",
		"/v1/objects/" + pipeline.SnapshotKey(f.Snapshot), "/v1/objects/" + pipeline.HeaderKey(r.Name, id), "/v1/objects/" + pipeline.PieceKey(r.Name, id, 0),
		"/v1/objects/" + pipeline.ClaimKey(r.Name, f.Vehicles[0].ID, 0), "/v1/objects/" + pipeline.LedgerPrefix(f.Task.Scope.ID()) + "checkpoint", "/v1/objects/.tmp/x", "/v1/reports/x/header", "/v1/reports/" + id.String(),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
			if code := get(method, target); code != 404 && code != 405 {
				t.Errorf("%s %s: %d", method, target, code)
			}
		}
	}
	model := "/v1/objects/" + pipeline.ModelKey(f.TaskID, r.Descriptor.ModelHash)
	if code := get(http.MethodGet, model); code != 401 {
		t.Errorf("the model without a token: %d", code)
	}
	f.Put(pipeline.DeltaKey(f.TaskID, schema.HashDelta([]byte("delta"))), []byte("delta"))
	f.Put(pipeline.ReleaseKey(f.TaskID, 1), []byte("release"))
	delta := "/v1/objects/" + pipeline.DeltaKey(f.TaskID, schema.HashDelta([]byte("delta")))
	if code := get(http.MethodGet, delta); code != 401 {
		t.Errorf("a delta without a token: %d", code)
	}
	if code := get(http.MethodGet, "/v1/objects/"+pipeline.ReleaseKey(f.TaskID, 1)); code != 200 {
		t.Errorf("a release: %d", code)
	}
	x := newAttack(t, gatewaytest.Start(f, nil), f, r, 0).enter()
	if a := x.do(http.MethodGet, delta, nil); string(a.body) != "delta" {
		t.Error(a)
	}
	if a := x.do(http.MethodGet, model, nil); string(a.body) != "model" {
		t.Error(a)
	}
	if a := x.do(http.MethodGet, model, nil, "Range", "bytes=1-2"); string(a.body) != "od" || a.status != 206 {
		t.Error(a)
	}
	x.want(x.do(http.MethodGet, model, nil, "Range", "bytes=9-12"), 416, "range")
}

// TestTakenKey: a foreign key in the identity is refused by both sides before anything is sent.
func TestTakenKey(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	v := f.Vehicles[0]
	v.Key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	f.Unchanged(nil, func() error {
		if err := s.Remote(v).Login(ctx, r.Name, r.ID); !isRefused(err) {
			t.Error(err)
		}
		return nil
	})
	if _, err := s.Remote(v).PutOnce(ctx, pipeline.VoteKey(r.Name, 0), []byte("{}")); err == nil {
		t.Error("a vehicle may vote")
	}
	if _, err := s.Remote(v).Stat(ctx, "../up"); !isKey(err) {
		t.Error(err)
	}
}

var _ storage.Store = (*tripping)(nil)
