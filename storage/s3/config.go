package s3

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/veilsum/veilsum/storage"
)

const (
	defaultEndpoint = "s3.amazonaws.com"
	defaultRegion   = "us-east-1"
	defaultTries    = 8
	defaultBackoff  = 100 * time.Millisecond

	defaultPartSize  = 16 << 20
	defaultPartsFrom = 64 << 20
	minPartSize      = 5 << 20 // what S3 accepts
	maxParts         = 10_000
	maxRetainDays    = 36_500
)

// Config says where a store is. Only Bucket is required.
type Config struct {
	Endpoint string // host or host:port; default s3.amazonaws.com
	Bucket   string
	Prefix   string // put before every key, with a slash between; empty or a key
	Region   string // default us-east-1
	Secure   bool   // https

	// RootCAs are the authorities to trust instead of those of the system.
	RootCAs *x509.CertPool
	// CreateBucket makes Open create the bucket if it does not exist.
	CreateBucket bool
	// Credentials to use. Nil looks, at each need, into the environment
	// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or
	// MINIO_ROOT_USER, MINIO_ROOT_PASSWORD), the files ~/.aws/config and
	// ~/.aws/credentials (AWS_PROFILE), and the roles of the machine where AWS
	// offers them. If there are none, requests are anonymous.
	Credentials *Credentials

	// MaxTries bounds how often PutOnce sends its request before it gives up
	// with an unknown outcome; default 8.
	MaxTries int
	// Backoff is the wait before the second try, doubled (with jitter) up to
	// 5 s for each further one; default 100 ms.
	Backoff time.Duration

	// PartsFrom is the size in bytes above which a body goes in parts, which can be
	// resumed; default 64 MiB. Negative: never, for servers that keep the condition of
	// a single PUT only; bodies then have at most 5 GiB.
	PartsFrom int64
	// PartSize is the bytes of a part, 5 MiB at least; default 16 MiB.
	PartSize int64
	// Retain locks objects against deletion. The bucket must have object lock.
	Retain Retention
}

// Retention says for how long new objects cannot be deleted, by anybody or by
// anybody without a special right. The zero value locks nothing.
type Retention struct {
	Mode string // "governance" or "compliance", as S3 defines them; empty: no retention
	Days int    // from the moment of the write, 1 to 36500
}

const redacted = "[redacted]"

// Credentials sign requests. They print as "[redacted]".
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty for long-lived keys
}

// Format prints "[redacted]" for every verb.
func (Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns "[redacted]".
func (Credentials) String() string { return redacted }

// LogValue returns "[redacted]".
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// errURL never quotes the URL: people paste secrets into it.
var errURL = errors.New("s3: the URL must be s3://BUCKET[/PREFIX][?endpoint=HOST:PORT&tls=BOOL&region=R&ca=FILE&create=BOOL&parts=BOOL&retain=MODE:DAYS]")

// ParseURL reads the URL of a store:
//
//	s3://bucket/prefix?endpoint=host:port&tls=true&region=eu-central-1&ca=/file.pem&create=true
//
// tls and parts default to true, create to false; ca names a PEM file of the authorities
// to trust instead of those of the system. parts=false is a negative PartsFrom;
// retain=governance:365 or compliance:365 sets Retain. Credentials have no place in a URL
// and are refused. Unknown and repeated parameters are refused too.
func ParseURL(raw string) (Config, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" || u.Port() != "" {
		return Config{}, errURL
	}
	if u.User != nil || strings.Contains(u.Path, "@") {
		return Config{}, errors.New("s3: the URL must not hold credentials; they come from the environment or from ~/.aws")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, errURL
	}
	c := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Secure: true}
	for name, values := range query {
		if len(values) != 1 {
			return Config{}, fmt.Errorf("s3: URL parameter %q is repeated", name)
		}
		if err := c.set(name, values[0]); err != nil {
			return Config{}, err
		}
	}
	return c.check()
}

func (c *Config) set(name, value string) (err error) {
	switch name {
	case "endpoint":
		c.Endpoint = value
	case "region":
		c.Region = value
	case "tls":
		c.Secure, err = strconv.ParseBool(value)
	case "create":
		c.CreateBucket, err = strconv.ParseBool(value)
	case "parts":
		var parts bool
		if parts, err = strconv.ParseBool(value); !parts {
			c.PartsFrom = -1
		}
	case "retain":
		c.Retain, err = parseRetention(value)
		return err
	case "ca":
		c.RootCAs, err = readCAs(value)
		return err
	default:
		return fmt.Errorf("s3: unknown URL parameter (have endpoint, tls, region, ca, create, parts, retain)")
	}
	if err != nil {
		return fmt.Errorf("s3: URL parameter %s must be true or false", name)
	}
	return nil
}

func parseRetention(value string) (Retention, error) {
	mode, days, ok := strings.Cut(value, ":")
	n, err := strconv.Atoi(days)
	r := Retention{Mode: mode, Days: n}
	if !ok || err != nil || r.check() != nil || r.Mode == "" || strconv.Itoa(n) != days {
		return Retention{}, errRetain
	}
	return r, nil
}

var errRetain = errors.New("s3: retention must be governance:DAYS or compliance:DAYS, 1 to 36500 days")

func (r Retention) check() error {
	switch {
	case r == Retention{}:
		return nil
	case r.Mode != "governance" && r.Mode != "compliance", r.Days < 1, r.Days > maxRetainDays:
		return errRetain
	}
	return nil
}

func readCAs(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("s3: certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("s3: certificate authorities: no certificate in %s", file)
	}
	return pool, nil
}

// check fills in the defaults and refuses what cannot work.
func (c Config) check() (Config, error) {
	if c.Endpoint == "" {
		c.Endpoint = defaultEndpoint
	}
	if c.Region == "" {
		c.Region = defaultRegion
	}
	if c.MaxTries == 0 {
		c.MaxTries = defaultTries
	}
	if c.Backoff == 0 {
		c.Backoff = defaultBackoff
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPartSize
	}
	if c.PartsFrom == 0 {
		c.PartsFrom = defaultPartsFrom
	}
	c.PartsFrom = max(c.PartsFrom, -1)
	if err := c.Retain.check(); err != nil {
		return Config{}, err
	}
	switch {
	case c.PartSize < minPartSize || c.PartSize > maxBody:
		return Config{}, errors.New("s3: a part has 5 MiB to 5 GiB")
	case strings.ContainsAny(c.Endpoint, "@/?# "):
		return Config{}, errors.New("s3: the endpoint must be HOST or HOST:PORT")
	case s3utils.CheckValidBucketNameStrict(c.Bucket) != nil:
		return Config{}, errors.New("s3: bad bucket name (3 to 63 lower-case letters, digits, dots and hyphens)")
	case c.Prefix != "" && storage.CheckKey(c.Prefix) != nil:
		return Config{}, errors.New("s3: bad prefix (letters, digits, dots, hyphens, underscores and single slashes)")
	case c.MaxTries < 0 || c.Backoff < 0:
		return Config{}, errors.New("s3: negative MaxTries or Backoff")
	}
	return c, nil
}

// url is the inverse of ParseURL, except for ca and create.
func (c Config) url() string {
	query := url.Values{}
	query.Set("endpoint", c.Endpoint)
	query.Set("region", c.Region)
	query.Set("tls", strconv.FormatBool(c.Secure))
	if c.PartsFrom < 0 {
		query.Set("parts", "false")
	}
	if c.Retain.Mode != "" {
		query.Set("retain", fmt.Sprintf("%s:%d", c.Retain.Mode, c.Retain.Days))
	}
	u := url.URL{Scheme: "s3", Host: c.Bucket, Path: c.Prefix, RawQuery: query.Encode()}
	if c.Prefix != "" {
		u.Path = "/" + c.Prefix
	}
	return u.String()
}
