package storagetest

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// S3ProxyEnv names the environment variable that holds the path of s3proxy's
// jar, and OldS3ProxyEnv that of a version that ignores conditions.
const (
	S3ProxyEnv    = "VEILSUM_S3PROXY"
	OldS3ProxyEnv = "VEILSUM_S3PROXY_OLD"
)

// StartS3Proxy runs the S3 server s3proxy, the jar that the environment variable env
// names, on a free port of 127.0.0.1 until the test ends, and returns the URL of a store
// in it, as StartVersityGW does. It starts in 5 to 10 seconds: once a package. The test is
// skipped if env is not set. Not for parallel tests: it sets the environment.
func StartS3Proxy(t testing.TB, env string) string {
	t.Helper()
	jar := os.Getenv(env)
	if jar == "" {
		t.Skip("no second S3 server to test with: " + env + " is not set; .ci/s3proxy/install prints the jars for " + S3ProxyEnv + " and " + OldS3ProxyEnv)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("no Java to run s3proxy with: ", err)
	}
	setCredentials(t)
	root := tempDir(t)
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	config := fmt.Sprintf(`s3proxy.authorization=aws-v2-or-v4
s3proxy.endpoint=http://%s
s3proxy.identity=%s
s3proxy.credential=%s
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir=%s
jclouds.identity=unused
jclouds.credential=unused
`, address, AccessKey, SecretKey, data)
	file := filepath.Join(root, "s3proxy.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := startProcess(t, address, java, []string{"-Xmx512m", "-XX:TieredStopAtLevel=1", "-jar", jar, "--properties", file}); err != nil {
		t.Fatalf("storagetest: s3proxy does not start: %v", err)
	}
	query := url.Values{"region": {"us-east-1"}, "create": {"true"}, "tls": {"false"}, "endpoint": {address}}
	return "s3://veilsum-test?" + query.Encode()
}

func setCredentials(t testing.TB) {
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
}
