package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
)

// errBucket: a presigned URL that this vehicle does not follow, or that did not work.
var errBucket = errors.New("remote: presigned URL")

// putPresigned asks the gateway for a URL in its store and puts the piece there, once. Success means that the
// store has created exactly these bytes: size and hash are signed.
func (s *Store) putPresigned(ctx context.Context, c call) error {
	var l wire.Location
	ask := c
	ask.method, ask.body, ask.into = http.MethodPost, nil, &l
	if err := s.do(ctx, ask); err != nil {
		return err
	}
	if err := s.checkLocation(l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.allow(int64(len(c.body))), errSlow)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, l.URL, bytes.NewReader(c.body))
	if err != nil {
		return errBucket // the error would quote the URL, which is a credential
	}
	for k, v := range l.Header {
		if !strings.EqualFold(k, "Content-Length") { // http.Request has it
			req.Header.Set(k, v)
		}
	}
	resp, err := s.bucket.Do(req)
	if err != nil {
		return errBucket
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errBucket, resp.Status)
	}
	return nil
}

// checkLocation keeps a gateway from sending the vehicle elsewhere, or with other headers than a store needs.
func (s *Store) checkLocation(l wire.Location) error {
	u, err := url.Parse(l.URL)
	if err != nil || u.Scheme != "https" || u.User != nil || !slices.Contains(s.config.Buckets, u.Host) {
		return fmt.Errorf("%w: its host is not one of the configured buckets", errBucket)
	}
	for k := range l.Header {
		name := strings.ToLower(k)
		if name != "if-none-match" && name != "content-length" && !strings.HasPrefix(name, "x-amz-") {
			return fmt.Errorf("%w: unexpected header", errBucket)
		}
	}
	return nil
}
