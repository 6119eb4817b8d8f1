package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// watched is a store that tells which objects are created.
type watched struct {
	storage.Store
	created func(key string, body []byte)
}

// PutOnce implements storage.Store.
func (s watched) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	s.created(key, body)
	return s.Store.PutOnce(ctx, key, body)
}

// FuzzGateway sends any bytes as a request, in which words in braces stand for what a vehicle that has logged in
// knows: no panic, an answer always, and nothing is written but the vehicle's claims and its own report, whole.
func FuzzGateway(f *testing.F) {
	fleet := pipelinetest.New(f, 2, pieces(1500))
	round := fleet.Open(1)
	mine := fleet.Vehicles[0]
	allowed := map[string][]byte{}
	store := watched{Store: fleet.Store, created: func(key string, body []byte) {
		if strings.HasPrefix(key, fmt.Sprintf("%sclaims/%x/%s-", pipeline.RoundPrefix(round.Name), mine.ID[:1], mine.ID)) {
			return
		}
		if want, ok := allowed[key]; !ok || !bytes.Equal(want, body) {
			panic("written: " + key)
		}
	}}
	g, err := gateway.New(gateway.Config{
		Store: store, Owner: schema.NewPublicKey(fleet.Owner), Names: []string{"gateway"}, Now: fleet.Now, Limits: gateway.Limits{Burst: 1 << 30},
	})
	if err != nil {
		f.Fatal(err)
	}
	words := fuzzWords(f, g, fleet, round, allowed)
	for _, seed := range []string{
		"POST /v1/challenge HTTP/1.1\r\nHost: gateway\r\n\r\n",
		"POST /v1/login HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\n\r\n{}",
		"GET /v1/objects/{task} HTTP/1.1\r\nHost: gateway\r\nRange: bytes=0-9\r\n\r\n",
		"HEAD /v1/objects/{model} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n",
		"POST /v1/reports HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Length: {announcement#}\r\n\r\n{announcement}",
		"PUT /v1/reports/{id}/pieces/0 HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Digest: {piece digest}\r\nContent-Length: {piece#}\r\n\r\n{piece}",
		"PUT /v1/reports/{id}/pieces/1 HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Digest: {piece digest}\r\nContent-Length: {piece#}\r\n\r\n{piece}",
		"PUT /v1/reports/{id}/header HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nContent-Digest: {header digest}\r\nContent-Length: {header#}\r\n\r\n{header}",
		"PUT /v1/reports/{id}/../{id}/header HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"DELETE http://gateway/readyz?x HTTP/1.1\r\nHost: gateway\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(words.Replace(string(raw)))))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable || w.Code >= 300 && w.Code < 400 {
			t.Fatalf("%d", w.Code)
		}
		if w.Code >= 400 && r.Method != http.MethodHead && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
	})
}

// fuzzWords logs vehicle 0 in, announces its report and returns the words for requests.
func fuzzWords(f *testing.F, g *gateway.Gateway, fleet *pipelinetest.Fleet, round *pipeline.Round, allowed map[string][]byte) *strings.Replacer {
	f.Helper()
	x := &attack{t: f, f: fleet, round: round, v: fleet.Vehicles[0]}
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	for j, p := range parts {
		allowed[pipeline.PieceKey(round.Name, rep.ID, j)] = p
	}
	allowed[pipeline.HeaderKey(round.Name, rep.ID)] = rep.Bytes()
	post := func(path, token string, body []byte) []byte {
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Host = "gateway"
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			f.Fatal(path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	var c struct{ Challenge, Token string }
	if err := json.Unmarshal(post("/v1/challenge", "", nil), &c); err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(x.sign("gateway", c.Challenge, nil))
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(post("/v1/login", "", body), &c); err != nil {
		f.Fatal(err)
	}
	a := announcement(rep, parts)
	post("/v1/reports", c.Token, a)
	return strings.NewReplacer(
		"{token}", c.Token, "{id}", rep.ID.String(), "{task}", pipeline.TaskKey(fleet.TaskID), "{model}", pipeline.ModelKey(fleet.TaskID, round.Descriptor.ModelHash),
		"{announcement}", string(a), "{announcement#}", fmt.Sprint(len(a)),
		"{piece}", string(parts[0]), "{piece#}", fmt.Sprint(len(parts[0])), "{piece digest}", digestOf(parts[0]),
		"{header}", string(rep.Bytes()), "{header#}", fmt.Sprint(len(rep.Bytes())), "{header digest}", digestOf(rep.Bytes()),
	)
}
