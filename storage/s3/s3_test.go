package s3_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// script spoils the first PUTs and looks (HEAD) as told and nothing after.
func script(puts, looks []storagetest.Fault) func(*http.Request) storagetest.Fault {
	return func(r *http.Request) (fault storagetest.Fault) {
		list := &puts
		if r.Method != http.MethodPut {
			list = &looks
		}
		if len(*list) > 0 {
			fault, *list = (*list)[0], (*list)[1:]
		}
		return fault
	}
}

// TestLostAnswers: whatever happens to its own requests, a lone writer learns
// that it created the object.
func TestLostAnswers(t *testing.T) {
	const (
		ok, request, response = storagetest.None, storagetest.LoseRequest, storagetest.LoseResponse
		busy, failed          = storagetest.Status503, storagetest.Status500
	)
	tests := map[string]struct {
		puts, looks []storagetest.Fault
		want        string // requests that reach the server
	}{
		"nothing lost":              {nil, nil, "PUT"},
		"request lost":              {[]storagetest.Fault{request}, nil, "HEAD PUT"},
		"response lost":             {[]storagetest.Fault{response}, nil, "PUT HEAD"},
		"busy":                      {[]storagetest.Fault{busy, busy}, nil, "HEAD HEAD PUT"},
		"500 after commit":          {[]storagetest.Fault{failed}, nil, "PUT HEAD"},
		"response and look lost":    {[]storagetest.Fault{response}, []storagetest.Fault{request}, "PUT PUT HEAD"},
		"500, look busy, then 412":  {[]storagetest.Fault{failed, ok}, []storagetest.Fault{busy}, "PUT PUT HEAD"},
		"all answers of two tries":  {[]storagetest.Fault{response, response}, []storagetest.Fault{response}, "PUT HEAD PUT HEAD"},
		"request lost twice, later": {[]storagetest.Fault{request, request, response}, nil, "HEAD HEAD PUT HEAD"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server, raw := startFake(t)
			flaky, _ := storagetest.StartFaultProxy(t, raw, script(test.puts, test.looks))
			outcome, err := open(t, flaky).PutOnce(t.Context(), "k", []byte("mine"))
			if outcome != storage.Created || err != nil {
				t.Errorf("PutOnce: %v, %v; want created", outcome, err)
			}
			if have := server.methods(); have != test.want {
				t.Errorf("the server saw %q, want %q", have, test.want)
			}
		})
	}
}

// TestUnknown: a writer that gives up says so, and asking again with the same
// body tells the truth.
func TestUnknown(t *testing.T) {
	_, raw := startFake(t)
	broken := true
	flaky, _ := storagetest.StartFaultProxy(t, raw, func(*http.Request) storagetest.Fault {
		if broken {
			return storagetest.LoseResponse
		}
		return storagetest.None
	})
	store := openWith(t, flaky, func(c *s3.Config) { c.MaxTries = 2 })
	outcome, err := store.PutOnce(t.Context(), "k", []byte("mine"))
	if outcome != 0 || err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotExist) {
		t.Fatalf("PutOnce: %v, %v; want an unknown outcome", outcome, err)
	}
	broken = false
	if outcome, err := store.PutOnce(t.Context(), "k", []byte("mine")); outcome != storage.Identical || err != nil {
		t.Fatalf("again: %v, %v; want identical", outcome, err)
	}
	if _, err := store.PutOnce(t.Context(), "k", []byte("other")); !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("other bytes: %v; want a conflict", err)
	}
}

// TestForeignObject: an object that another program uploaded has no hash; it is
// read to tell equal from different.
func TestForeignObject(t *testing.T) {
	server, store := openFake(t)
	server.objects["k"] = fakeObject{[]byte("mine"), http.Header{"Last-Modified": {time.Now().UTC().Format(http.TimeFormat)}}}
	if outcome, err := store.PutOnce(t.Context(), "k", []byte("mine")); outcome != storage.Identical || err != nil {
		t.Errorf("same bytes: %v, %v", outcome, err)
	}
	for _, body := range []string{"mime", "much longer"} {
		if _, err := store.PutOnce(t.Context(), "k", []byte(body)); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%q: %v; want a conflict", body, err)
		}
	}
}

// TestForgedMetadata: an object that only says that it is the one to write is another one.
func TestForgedMetadata(t *testing.T) {
	server, store := openFake(t)
	if _, err := store.PutOnce(t.Context(), "k", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	mine := server.objects["k"]
	server.objects["k"] = fakeObject{[]byte("evil"), mine.header}
	outcome, err := store.PutOnce(t.Context(), "k", []byte("mine"))
	if conflict := (*storage.ConflictError)(nil); outcome != 0 || !errors.As(err, &conflict) {
		t.Errorf("PutOnce: %v, %v; want a conflict", outcome, err)
	}
}

// TestDefinite: what cannot get better is not tried again.
func TestDefinite(t *testing.T) {
	secret := "AWS4-HMAC-SHA256 Credential=" + storagetest.AccessKey + " " + storagetest.SecretKey
	tests := map[string]struct {
		status int
		code   string
		want   error
	}{
		"denied":       {http.StatusForbidden, "AccessDenied", nil},
		"no bucket":    {http.StatusNotFound, "NoSuchBucket", nil},
		"unsupported":  {http.StatusNotImplemented, "NotImplemented", nil},
		"bad digest":   {http.StatusBadRequest, "XAmzContentSHA256Mismatch", nil},
		"folder":       {http.StatusConflict, "ObjectParentIsFile", storage.ErrKey},
		"odd code":     {http.StatusBadRequest, "x=<![CDATA[<" + secret + ">]]>", nil},
		"not S3 at al": {http.StatusTeapot, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server, store := openFake(t)
			server.before = func(w http.ResponseWriter, _ *http.Request) bool {
				if test.code == "" {
					w.WriteHeader(test.status)
					_, _ = io.WriteString(w, secret)
					return true
				}
				return errorAnswer(w, test.status, test.code, secret)
			}
			outcome, err := store.PutOnce(t.Context(), "k", []byte("x"))
			if err == nil || outcome != 0 || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("PutOnce: %v, %v; want %v", outcome, err, test.want)
			}
			if have := server.methods(); have != "PUT" {
				t.Errorf("the server saw %q, want one PUT", have)
			}
			if strings.Contains(err.Error(), storagetest.SecretKey) {
				t.Errorf("the error repeats the server: %v", err)
			}
		})
	}
}

// TestProbe: a server that overwrites is found, on each path, and nothing is left behind.
func TestProbe(t *testing.T) {
	server, raw := startFake(t)
	probe := func(raw string) error { return open(t, raw).Probe(t.Context()) }
	tests := []struct {
		name, want             string
		conditions, onComplete bool
		url                    string
	}{
		{"honest", "", false, false, raw},
		{"overwrites", "ignores If-None-Match: it overwrites", true, false, raw},
		{"overwrites in parts", "when an upload in parts is completed", false, true, raw},
		{"parts not used", "", false, true, raw + "&parts=false"},
	}
	for _, test := range tests {
		server.ignoreConditions, server.ignoreOnComplete = test.conditions, test.onComplete
		err := probe(test.url)
		if (err == nil) != (test.want == "") || err != nil && (!errors.Is(err, storage.ErrLies) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v; want %q", test.name, err, test.want)
		}
		if len(server.objects) != 0 || len(server.uploads) != 0 {
			t.Errorf("%s: leaves %d objects and %d uploads", test.name, len(server.objects), len(server.uploads))
		}
	}
}

// TestDamage: bytes that were changed, cut off or added on the way or at rest
// never reach the end of a read without an error.
func TestDamage(t *testing.T) {
	tests := map[string]func([]byte) []byte{
		"changed":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut off":   func(b []byte) []byte { return b[:len(b)-1] },
		"all gone":  func([]byte) []byte { return nil },
		"unchanged": nil,
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			server, store := openFake(t)
			if _, err := store.PutOnce(t.Context(), "k", []byte(strings.Repeat("content ", 1000))); err != nil {
				t.Fatal(err)
			}
			server.damage = damage
			_, err := storage.ReadAll(t.Context(), store, "k", 1<<20)
			if (err == nil) != (damage == nil) {
				t.Errorf("ReadAll: %v", err)
			}
			if name == "cut off" && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut off: %v; want an unexpected EOF", err)
			}
		})
	}
}

func TestRangeNotHonored(t *testing.T) {
	server, store := openFake(t)
	if _, err := store.PutOnce(t.Context(), "k", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	server.wrongContentRange = true
	if _, err := store.GetRange(t.Context(), "k", 2, 3); err == nil {
		t.Error("another range is accepted")
	}
}

// TestListDistrust: the server's order and filter are checked.
func TestListDistrust(t *testing.T) {
	var names []string
	server, store := openFake(t)
	server.before = func(w http.ResponseWriter, _ *http.Request) bool { server.list(w, names); return true }
	list := func() (keys []string, err error) {
		for info, err := range store.List(t.Context(), "b", "b1") {
			if err != nil {
				return keys, err
			}
			keys = append(keys, info.Key)
		}
		return keys, nil
	}
	names = []string{"a", "b1", "b2", "b3/", "b4/.hidden", "b5 x", "b6", "c"}
	if keys, err := list(); strings.Join(keys, " ") != "b2 b6" || err != nil {
		t.Errorf("listed %q, %v", keys, err)
	}
	for _, names = range [][]string{{"b3", "b2"}, {"b2", "b2"}} {
		if keys, err := list(); len(keys) != 1 || err == nil {
			t.Errorf("out of order: listed %q, %v", keys, err)
		}
	}
}

func TestDeadline(t *testing.T) {
	server, raw := startFake(t)
	server.before = func(w http.ResponseWriter, _ *http.Request) bool {
		return errorAnswer(w, http.StatusServiceUnavailable, "SlowDown", "")
	}
	store := openWith(t, raw, func(c *s3.Config) { c.Backoff = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := store.PutOnce(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("PutOnce: %v; want the deadline", err)
	}
}

// TestBodyIsGivenBack: the HTTP client may go on sending a body in the
// background when the answer comes early. With -race this finds a read of the
// caller's bytes after PutOnce returned.
func TestBodyIsGivenBack(t *testing.T) {
	server, store := openFake(t)
	if _, err := store.PutOnce(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusPreconditionFailed) // without reading
		return true
	}
	body := make([]byte, 32<<20)
	if _, err := store.PutOnce(t.Context(), "k", body); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("PutOnce: %v; want a conflict", err)
	}
	for i := range body {
		body[i] = 1
	}
}

// TestHints: the two usual mistakes are named.
func TestHints(t *testing.T) {
	server, raw := startFake(t)
	region := ""
	server.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-Amz-Bucket-Region", region)
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "MINIO_ROOT_USER", "MINIO_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	none := t.TempDir() + "/none"
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_CONFIG_FILE", none)
	if _, err := open(t, raw).Stat(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("anonymous: %v", err)
	}
	region = "eu-central-1"
	if _, err := open(t, raw).Stat(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), region) {
		t.Errorf("other region: %v", err)
	}
}

// TestPrefixIsPartOfTheKey: S3 limits the name with the prefix to 1024 bytes.
func TestPrefixIsPartOfTheKey(t *testing.T) {
	server, raw := startFake(t)
	store := open(t, storagetest.WithPrefix(t, raw, strings.Repeat("p", 23)))
	fits := strings.Repeat("s/", 499) + "xx"
	if _, err := store.PutOnce(t.Context(), fits, nil); err != nil {
		t.Errorf("1024 bytes: %v", err)
	}
	if _, ok := server.objects[strings.Repeat("p", 23)+"/"+fits]; !ok || len(server.objects) != 1 {
		t.Error("the object is not below the prefix")
	}
	if _, err := store.PutOnce(t.Context(), fits+"x", nil); !errors.Is(err, storage.ErrKey) {
		t.Errorf("1025 bytes: %v; want ErrKey", err)
	}
}

// TestTakenButInvisible: a key that the server calls taken and does not show is
// neither ours nor another's: unknown.
func TestTakenButInvisible(t *testing.T) {
	server, raw := startFake(t)
	store := openWith(t, raw, func(c *s3.Config) { c.MaxTries = 3 })
	if _, err := store.PutOnce(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	server.hide = true
	outcome, err := store.PutOnce(t.Context(), "k", []byte("x"))
	if outcome != 0 || err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotExist) {
		t.Errorf("PutOnce: %v, %v; want an unknown outcome", outcome, err)
	}
	if have := server.methods(); have != "PUT PUT HEAD PUT HEAD PUT HEAD" {
		t.Errorf("the server saw %q", have)
	}
}
