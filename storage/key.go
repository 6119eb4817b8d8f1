package storage

import (
	"fmt"
	"strings"
)

const (
	maxKey     = 1024 // bytes, the limit of S3
	maxSegment = 255  // bytes, the limit of usual file systems
)

// CheckKey returns nil if key is a key: 1 to 1024 bytes, segments of 1 to 255
// letters, digits, '.', '_' and '-' (ASCII) joined by single slashes, no segment
// starting with '.' (so neither "." nor ".." nor a hidden file). The error
// matches [ErrKey]. Every key is a valid relative path and needs no escaping in
// a URL.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("%w: length %d is not in 1..%d", ErrKey, len(key), maxKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if why := segmentFault(segment); why != "" {
			return fmt.Errorf("%w: %q: %s", ErrKey, key, why)
		}
	}
	return nil
}

func segmentFault(segment string) string {
	switch {
	case segment == "":
		return "empty segment"
	case len(segment) > maxSegment:
		return "segment longer than 255 bytes"
	case segment[0] == '.':
		return "segment starts with a dot"
	}
	for i := range len(segment) {
		if !keyByte(segment[i]) {
			return "only A-Z a-z 0-9 . _ - are allowed"
		}
	}
	return ""
}

func keyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '-'
}
