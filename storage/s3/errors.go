package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/veilsum/veilsum/storage"
)

// fail translates an error of minio-go. Of the server's answer only status and
// code are quoted: its text may repeat the request with the access key, the
// string to sign or, from a debugging proxy, the whole Authorization header.
func (s *Store) fail(verb, key string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("s3: %s %q: %w", verb, key, err)
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == minio.NoSuchKey || answer.Code == "NotFound":
		return fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	case answer.Code == "InvalidRange" || answer.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %q", storage.ErrRange, key)
	case folderClash(answer.Code):
		return fmt.Errorf("%w: the server cannot hold %q: an object lies above or below it", storage.ErrKey, key)
	case answer.StatusCode != 0 || answer.Code != "":
		return fmt.Errorf("s3: %s %q: %d %s%s", verb, key, answer.StatusCode, word(answer.Code), s.hint(answer))
	}
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err // without the URL, which names the bucket twice
	}
	return fmt.Errorf("s3: %s %q: %w", verb, key, err)
}

// word returns what can be an error code or a region of S3: text up to anything
// else, not too long.
func word(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
	if end >= 0 {
		text = text[:end]
	}
	return text[:min(len(text), 64)]
}

// hint names the two usual mistakes.
func (s *Store) hint(answer minio.ErrorResponse) string {
	if answer.Region != "" && answer.Region != s.config.Region {
		return fmt.Sprintf(" (the bucket is in region %s)", word(answer.Region))
	}
	if answer.StatusCode != http.StatusForbidden {
		return ""
	}
	if value, err := s.creds.GetWithContext(nil); err == nil && value.AccessKeyID == "" {
		return " (no credentials were found)"
	}
	return ""
}

// folderClash: servers on top of a file system cannot hold both k and k/x.
func folderClash(code string) bool {
	switch code {
	case "ObjectParentIsFile", "ExistingObjectIsDirectory", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory":
		return true
	}
	return false
}

// doubtful reports whether a PUT that ended so may have created the object, now
// or by an earlier try, or whether sending it again may help.
func doubtful(err error) bool {
	answer := minio.ToErrorResponse(err)
	if folderClash(answer.Code) {
		return false
	}
	switch answer.StatusCode {
	case 0:
		return !hopeless(err)
	case http.StatusPreconditionFailed, http.StatusConflict, http.StatusRequestTimeout,
		http.StatusTooEarly, http.StatusTooManyRequests, 499:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return answer.StatusCode >= 500 || answer.Code == "RequestTimeout"
}

// hopeless: the request was not sent, nor will it ever be.
func hopeless(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || errors.Is(err, http.ErrSchemeMismatch)
}
