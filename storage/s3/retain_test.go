package s3_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/doctor"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// lockedBucket makes a bucket with object lock and returns a client of minio-go's and the URL of a store in it.
func lockedBucket(t *testing.T) (*minio.Client, string) {
	t.Helper()
	raw := storagetest.StartVersityGW(t, true)
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	config, err := s3.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		t.Fatal(err)
	}
	transport.TLSClientConfig.RootCAs = config.RootCAs
	client, err := minio.New(config.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(storagetest.AccessKey, storagetest.SecretKey, ""), Secure: true, Region: config.Region, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), "locked", minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	u.Host = "locked"
	return client, u.String()
}

// TestRetention: what is to be locked cannot be deleted, by single PUT and in parts; what is
// not can. The doctor tries it.
func TestRetention(t *testing.T) {
	client, raw := lockedBucket(t)
	config, err := s3.ParseURL(raw + "&retain=governance:1")
	if err != nil {
		t.Fatal(err)
	}
	inParts(&config)
	store, err := s3.Open(config, s3.RetainOnly(func(key string) bool { return strings.HasPrefix(key, "evidence/") }))
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{"evidence/small": []byte("x"), "evidence/large": noise(partSize + 1), "piece/small": []byte("x")}
	for key, body := range bodies {
		if outcome, err := store.PutOnce(t.Context(), key, body); outcome != storage.Created || err != nil {
			t.Fatalf("%s: %v, %v", key, outcome, err)
		}
		found, err := client.StatObject(t.Context(), "locked", key, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		err = client.RemoveObject(t.Context(), "locked", key, minio.RemoveObjectOptions{VersionID: found.VersionID})
		if locked := strings.HasPrefix(key, "evidence/"); locked == (err == nil) {
			t.Errorf("%s: deleted: %v", key, err)
		}
	}
	var retention storage.Finding
	if err := doctor.Examine(t.Context(), store, func(f storage.Finding) {
		if f.Check == "retention" {
			retention = f
		}
	}); err != nil || retention.Level != storage.OK || !strings.Contains(retention.Detail, "cannot be deleted") {
		t.Errorf("%+v, %v", retention, err)
	}
}

// TestNoLock: a bucket that takes no locks is refused, before and in use.
func TestNoLock(t *testing.T) {
	raw := storagetest.StartVersityGW(t, true) + "&retain=compliance:1"
	store := open(t, raw)
	if _, err := store.PutOnce(t.Context(), "k", nil); err == nil {
		t.Error("an object is written without the lock that was asked for")
	}
	failed := false
	_ = doctor.Examine(t.Context(), store, func(f storage.Finding) { failed = failed || f.Check == "retention" && f.Level == storage.Failure })
	if !failed {
		t.Error("the doctor sees nothing")
	}
}

// TestRetentionURL: what cannot be meant is refused.
func TestRetentionURL(t *testing.T) {
	for _, value := range []string{"", "governance", "governance:", "governance:0", "governance:-1", "governance:36501", "governance:01", "GOVERNANCE:1", "forever:1", "governance:1:2", "governance:1d"} {
		if _, err := s3.ParseURL("s3://bucket?retain=" + value); err == nil {
			t.Errorf("%q is accepted", value)
		}
	}
	c, err := s3.ParseURL("s3://bucket?retain=compliance:365&parts=false")
	if err != nil || c.Retain != (s3.Retention{Mode: "compliance", Days: 365}) || c.PartsFrom != -1 {
		t.Errorf("%+v, %v", c, err)
	}
}
