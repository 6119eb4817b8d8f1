package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// receiver takes traces by OTLP over HTTP.
type receiver struct {
	url string
	mu  sync.Mutex
	raw []byte              // all that came, with headers
	all map[string][]string // attributes of each span by its name, as KEY=VALUE
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	c := &receiver{all: map[string][]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &m) != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		c.take(fmt.Sprint(r.Header), body, &m)
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *receiver) take(header string, body []byte, m *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(append(c.raw, header...), body...)
	for _, r := range m.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				text := []string{fmt.Sprint("ns=", s.EndTimeUnixNano-s.StartTimeUnixNano)}
				if s.Status != nil && s.Status.Message != "" {
					text = append(text, "status="+s.Status.Message)
				}
				for _, a := range s.Attributes {
					v := a.Value.GetStringValue()
					if v == "" {
						v = fmt.Sprint(a.Value.GetIntValue())
					}
					text = append(text, a.Key+"="+v)
				}
				c.all[s.Name] = append(c.all[s.Name], strings.Join(text, " ")+" ")
			}
		}
	}
}

// want looks for a span with all these attributes.
func (c *receiver) want(t *testing.T, name string, attributes ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all[name] {
		found := true
		for _, a := range attributes {
			found = found && strings.Contains(s, " "+a+" ")
		}
		if found {
			return
		}
	}
	t.Errorf("no span %q with %q: %v", name, attributes, c.all)
}

// silent looks for what no span may have.
func (c *receiver) silent(t *testing.T, secrets ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.raw) == 0 {
		t.Error("no traces came")
	}
	for _, s := range secrets {
		if bytes.Contains(bytes.ToLower(c.raw), bytes.ToLower([]byte(s))) {
			t.Errorf("the traces hold %q", s)
		}
	}
}

// checkUploadSpans looks for an upload in the traces of a gateway, and for nothing of the vehicle.
func checkUploadSpans(t *testing.T, c *receiver, f *pipelinetest.Fleet, v client.Identity) {
	t.Helper()
	round := []string{"veilsum.task=" + f.TaskID.String(), "veilsum.epoch=1", "veilsum.lane=0"}
	c.want(t, "gateway header", append(round, "http.response.status_code=201")...)
	c.want(t, "gateway piece", append(round, "http.route=piece")...)
	c.want(t, "gateway login", "http.response.status_code=200")
	c.silent(t, v.ID.String(), string(v.ID[:]), string(v.Key.Seed()), string(v.DeviceSecret[:]), "bearer", "127.0.0.1:0", "reports/")
}

// TestStepSpans: a decryptor's steps come with round and outcome, and without the text of an error, which may name a vehicle.
func TestStepSpans(t *testing.T) {
	c := newReceiver(t)
	x, err := newTracer(t.Context(), c.url, "decryptor", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n := pipeline.RoundName{Task: schema.TaskID{Digest: schema.Digest{7}}, Epoch: 3, Lane: 2}
	x.step(watch.Step{Action: watch.Check, Round: n, Start: time.Now(), Duration: time.Second, Refused: map[string]int{"box": 2, "piece": 1}})
	x.step(watch.Step{Action: watch.Vote, Round: n, Start: time.Now(), Err: errors.New("vehicle 00112233445566778899aabbccddeeff")})
	x.step(watch.Step{Action: watch.Answer, Round: n, Start: time.Now(), Err: pipeline.ErrDecryptors})
	x.close()
	where := []string{"veilsum.task=" + n.Task.String(), "veilsum.epoch=3", "veilsum.lane=2"}
	c.want(t, "decryptor check", append(where, "veilsum.outcome=done", "veilsum.refused_reports=3")...)
	c.want(t, "decryptor vote", append(where, "veilsum.outcome=failed", "status=failed")...)
	c.want(t, "decryptor answer", append(where, "veilsum.outcome=waiting")...)
	c.silent(t, "00112233445566778899aabbccddeeff")
}

// TestTracesAreWanted: without a flag or the environment there are none, and passwords are not taken in a URL.
func TestTracesAreWanted(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	x, err := newTracer(t.Context(), "", "gateway", log)
	if x != nil || err != nil {
		t.Error(x, err)
	}
	x.close()
	x.step(watch.Step{})
	for _, bad := range []string{"localhost:4318", "grpc://localhost:4317", "http://user:secret@localhost:4318", "http://", ":"} {
		if _, err := newTracer(t.Context(), bad, "gateway", log); err == nil || strings.Contains(err.Error(), "secret") {
			t.Error(bad, err)
		}
	}
	c := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.url)
	t.Setenv("OTEL_SERVICE_NAME", "other-name")
	x, err = newTracer(t.Context(), "", "gateway", log)
	if err != nil {
		t.Fatal(err)
	}
	x.step(watch.Step{Action: watch.Vote, Start: time.Now()})
	x.close()
	c.want(t, "decryptor vote")
	if !bytes.Contains(c.raw, []byte("other-name")) {
		t.Error("the environment's name is not taken")
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if x, err := newTracer(t.Context(), c.url, "gateway", log); x != nil || err != nil {
		t.Error(x, err)
	}
}
