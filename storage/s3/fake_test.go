package s3_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// fake is the least S3 server that conditional PUTs need, so that these tests
// run anywhere and a server can be made to misbehave. Its fields may be changed
// between requests.
type fake struct {
	mu                sync.Mutex
	objects           map[string]fakeObject
	requests          []string                                      // methods, in order
	ignoreConditions  bool                                          // overwrite
	hide              bool                                          // answer every GET and HEAD with 404
	before            func(http.ResponseWriter, *http.Request) bool // true: it answered
	damage            func([]byte) []byte                           // what GET returns instead
	wrongContentRange bool

	uploads          map[string]*fakeUpload
	begun            int
	ignoreOnComplete bool // the condition, as minio-go does
	oddETags         bool // no MD5
	damageParts      bool // store other bytes than were sent
}

type fakeObject struct {
	body   []byte
	header http.Header
}

// startFake returns the server and the URL of a store in it.
func startFake(t *testing.T) (*fake, string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", storagetest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", storagetest.SecretKey)
	f := &fake{objects: make(map[string]fakeObject), uploads: make(map[string]*fakeUpload)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	query := url.Values{"endpoint": {server.Listener.Addr().String()}, "tls": {"false"}}
	return f, "s3://bucket?" + query.Encode()
}

func openFake(t *testing.T) (*fake, *s3.Store) {
	f, raw := startFake(t)
	return f, open(t, raw)
}

// methods returns the requests so far and forgets them.
func (f *fake) methods() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := strings.Join(f.requests, " ")
	f.requests = nil
	return have
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method)
	if f.before != nil && f.before(w, r) {
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/bucket/")
	switch {
	case r.URL.Query().Has("list-type"):
		f.list(w, slices.Sorted(maps.Keys(f.objects)))
	case r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId"):
		f.multipart(w, r, name)
	case r.Method == http.MethodPut:
		f.put(w, r, name)
	case r.Method == http.MethodDelete:
		delete(f.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.get(w, r, name)
	}
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(r.Body)
	if sum := sha256.Sum256(body); err != nil || r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, exists := f.objects[name]
	if exists && r.Header.Get("If-None-Match") == "*" && !f.ignoreConditions {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	header := http.Header{"Last-Modified": {time.Unix(1e9, 0).UTC().Format(http.TimeFormat)}}
	for key, values := range r.Header {
		if strings.HasPrefix(key, "X-Amz-Meta-") {
			header[key] = values
		}
	}
	f.objects[name] = fakeObject{body, header}
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, name string) {
	have, ok := f.objects[name]
	if !ok || f.hide {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	maps.Copy(w.Header(), have.header)
	body, status := have.body, http.StatusOK
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err == nil {
		if first >= len(body) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		last = min(last, len(body)-1)
		shown := first
		if f.wrongContentRange {
			shown++
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", shown, last, len(body)))
		body, status = body[first:last+1], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if f.damage != nil {
		body = f.damage(slices.Clone(body))
	}
	_, _ = w.Write(body)
}

// list answers one page with these names.
func (f *fake) list(w http.ResponseWriter, names []string) {
	fmt.Fprint(w, "<ListBucketResult><IsTruncated>false</IsTruncated>")
	for _, name := range names {
		fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>", name)
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

// errorAnswer is an error as S3 servers send it.
func errorAnswer(w http.ResponseWriter, status int, code, message string) bool {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
	return true
}
