package s3_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// TestPresignPut: the holder of a presigned URL creates the one object with the one content, once.
func TestPresignPut(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var s storage.Presigner = open(t, storagetest.StartVersityGW(t, secure))
		body := bytes.Repeat([]byte("piece"), 10_000)
		put := func(key string, body []byte, change func(http.Header)) int {
			t.Helper()
			url, header, err := s.PresignPut(t.Context(), key, 50_000, sha256.Sum256(bytes.Repeat([]byte("piece"), 10_000)), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range header {
				req.Header.Set(k, v)
			}
			if change != nil {
				change(req.Header)
			}
			client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // not what is tested
			defer client.CloseIdleConnections()
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode
		}
		other := bytes.Repeat([]byte("other"), 10_000)
		for name, code := range map[string]int{
			"other bytes":            put("k", other, nil),
			"more bytes":             put("k", append(bytes.Clone(body), 'x'), nil),
			"another hash":           put("k", other, func(h http.Header) { h.Set("X-Amz-Checksum-Sha256", "AAAA") }),
			"without the condition":  put("k", body, func(h http.Header) { h.Del("If-None-Match") }),
			"without the checksum":   put("k", other, func(h http.Header) { h.Del("X-Amz-Checksum-Sha256") }),
			"with another meta hash": put("k", body, func(h http.Header) { h.Set("X-Amz-Meta-Veilsum-Sha256", "00") }),
		} {
			if code < 400 {
				t.Errorf("%s: %d", name, code)
			}
		}
		if _, err := s.Stat(t.Context(), "k"); err == nil {
			t.Fatal("something was written")
		}
		if code := put("k", body, nil); code != http.StatusOK {
			t.Fatalf("%d", code)
		}
		if code := put("k", body, nil); code != http.StatusPreconditionFailed {
			t.Errorf("a second time: %d", code)
		}
		if have, err := storage.ReadAll(t.Context(), s, "k", 1<<20); err != nil || !bytes.Equal(have, body) {
			t.Error(len(have), err)
		}
		if o, err := s.PutOnce(t.Context(), "k", body); o != storage.Identical || err != nil {
			t.Error(o, err)
		}
	}
}
