package calls_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/python/internal/calls"
)

// ask calls a method and reads the answer.
func ask(t testing.TB, l *calls.Library, method, request string, bodies ...[]byte) (int, map[string]any, []byte) {
	t.Helper()
	status, text, body := l.Call(t.Context(), method, []byte(request), bodies, func(n int) ([]byte, error) { return make([]byte, n), nil })
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %q: %v", method, text, err)
	}
	return status, answer, body
}

func TestMistakes(t *testing.T) {
	l := calls.New()
	for method, request := range map[string]string{
		"no.such":    `{}`,
		"version":    `{"x":1}`,
		"task.open":  `{"store":1}`,
		"store.open": `{"url":"ftp://x"}`,
		"key.public": `{`,
		"account":    `[]`,
		"round.add":  `{"round":7}`,
		"audit":      `{} {}`,
	} {
		if status, answer, _ := ask(t, l, method, request); status != 2 || answer["message"] == "" {
			t.Errorf("%s %s: status %d, %v", method, request, status, answer)
		}
	}
}

// TestNoErrorQuotesAKey reads a file that is nearly a key.
func TestNoErrorQuotesAKey(t *testing.T) {
	l, dir := calls.New(), t.TempDir()
	name := filepath.Join(dir, "key.pem")
	if status, answer, _ := ask(t, l, "key.new", `{"path":`+quote(name)+`}`); status != 0 {
		t.Fatal(answer)
	}
	status, answer, _ := ask(t, l, "task.open", `{"store":0,"task":"","owner":`+quote(name)+`}`)
	if status != 2 {
		t.Error(answer)
	}
	ask(t, l, "store.open", `{"url":"mem:"}`)
	status, answer, _ = ask(t, l, "audit", `{"store":1,"owner":`+quote(name)+`,"pieces":"auto"}`)
	if text, _ := json.Marshal(answer); status != 2 || strings.Contains(string(text), "MC4") || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("status %d: %s", status, text)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestManyAtOnce opens, uses and closes handles from many goroutines.
func TestManyAtOnce(t *testing.T) {
	l := calls.New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				status, answer, _ := ask(t, l, "store.open", `{"url":"mem:"}`)
				h, _ := json.Marshal(answer["handle"])
				if status != 0 {
					t.Error(answer)
				}
				ask(t, l, "audit", `{"store":`+string(h)+`,"owner":"`+strings.Repeat("1", 64)+`","pieces":"auto"}`)
				if status, _, _ := ask(t, l, "handle.close", `{"handle":`+string(h)+`}`); status != 0 {
					t.Error("close")
				}
				if status, _, _ := ask(t, l, "audit", `{"store":`+string(h)+`,"owner":"","pieces":"auto"}`); status != 2 {
					t.Error("a closed handle was used")
				}
			}
		})
	}
	all.Wait()
}

// FuzzCall: whatever comes over the border, an answer in JSON goes back.
func FuzzCall(f *testing.F) {
	f.Add("version", []byte(`{}`), []byte{})
	f.Add("account", []byte(`{"event":{"type":"gaussian","noise_multiplier":1},"relation":"add_remove","delta":1e-5}`), []byte{})
	f.Add("bundle.open", []byte(`{"owner":"`+strings.Repeat("1", 64)+`"}`), []byte("VSBN"))
	f.Add("round.merge", []byte(`{"round":1}`), []byte("VSPS"))
	l := calls.New()
	f.Fuzz(func(t *testing.T, method string, request, body []byte) {
		switch method {
		case "key.new", "client.init", "client.open", "member.open", "store.open", "account": // files, and sums that take long
			return
		}
		status, text, out := l.Call(context.Background(), method, request, [][]byte{body}, func(n int) ([]byte, error) { return make([]byte, n), nil })
		if !json.Valid(text) || status != 0 && out != nil {
			t.Fatalf("status %d: %q", status, text)
		}
		if strings.Contains(string(text), "a defect") {
			t.Fatalf("a panic: %s", text)
		}
	})
}
