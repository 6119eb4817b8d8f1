package s3_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/storage/s3"
)

func TestParseURL(t *testing.T) {
	have, err := s3.ParseURL("s3://fleet-bucket/eu/west?endpoint=127.0.0.1:7070&tls=false&region=eu-central-1&create=true")
	if err != nil {
		t.Fatal(err)
	}
	if have.Bucket != "fleet-bucket" || have.Prefix != "eu/west" || have.Endpoint != "127.0.0.1:7070" ||
		have.Secure || have.Region != "eu-central-1" || !have.CreateBucket {
		t.Errorf("parsed %+v", have)
	}
	have, err = s3.ParseURL("s3://fleet-bucket")
	if err != nil || !have.Secure || have.Endpoint != "s3.amazonaws.com" || have.Region != "us-east-1" || have.CreateBucket {
		t.Errorf("defaults: %+v, %v", have, err)
	}
}

// TestParseURLRefuses: and never repeats what could be a secret.
func TestParseURLRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := []string{
		"", "bucket", "http://bucket", "s3:bucket", "s3://", "s3:///prefix", "s3://UPPER", "s3://ab", "s3://bucket:1234",
		"s3://key:hush@bucket", "s3://hush@bucket/x", "s3://key:hu/sh@bucket", "s3://key/hush@bucket", "s3://bucket/../hush", "s3://bucket/a//hush",
		"s3://bucket/x y", "s3://bucket#hush", "s3://bucket?secret=hush", "s3://bucket?tls=hush", "s3://bucket?create=hush",
		"s3://bucket?tls=true&tls=false", "s3://bucket?endpoint=key:hush@host", "s3://bucket?endpoint=http://hush", "s3://bucket?%zz=hush",
		"s3://bucket?ca=" + empty, "s3://bucket?ca=/does/not/exist", "s3://bucket?hush", "s3://bucket\x00hush",
	}
	for _, raw := range bad {
		if _, err := s3.ParseURL(raw); err == nil {
			t.Errorf("%q is accepted", raw)
		} else if strings.Contains(err.Error(), "hu") {
			t.Errorf("%q: the error repeats it: %v", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("s3://bucket/prefix?endpoint=host:1&tls=true&region=r&create=true")
	f.Add("s3://key:secret@bucket")
	f.Fuzz(func(t *testing.T, raw string) {
		config, err := s3.ParseURL(raw)
		if err != nil {
			return
		}
		config.CreateBucket = false
		store, err := s3.Open(config)
		if err != nil {
			return
		}
		again, err := s3.ParseURL(store.String())
		config.RootCAs = nil
		if err != nil || again != config {
			t.Fatalf("%q gives %q, which gives %+v, %v", raw, store, again, err)
		}
	})
}

func TestCredentialsAreRedacted(t *testing.T) {
	c := s3.Credentials{AccessKeyID: "who", SecretAccessKey: "hush", SessionToken: "hush"}
	config := s3.Config{Bucket: "bucket", Credentials: &c}
	var out bytes.Buffer
	for _, v := range []any{c, &c, config, &config} {
		fmt.Fprintf(&out, "%v %+v %#v %s %q %d %x\n", v, v, v, v, v, v, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	raw, err := json.Marshal(struct{ C s3.Credentials }{c})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	if s := out.String(); strings.Contains(s, "who") || strings.Contains(s, "hush") || strings.Contains(s, fmt.Sprintf("%x", "hush")) {
		t.Errorf("printed:\n%s", s)
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Errorf("nothing says redacted:\n%s", out.String())
	}
}
