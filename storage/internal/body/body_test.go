package body_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/veilsum/veilsum/storage/internal/body"
)

func read(ctx context.Context, source io.Reader, size int64, verify func() error) (string, error) {
	r := body.New(ctx, io.NopCloser(source), size, verify)
	defer r.Close()
	have, err := io.ReadAll(r)
	return string(have), err
}

func TestReader(t *testing.T) {
	errVerify, errSource := errors.New("verify"), errors.New("source")
	tests := map[string]struct {
		source io.Reader
		size   int64
		verify func() error
		want   string
		err    error
	}{
		"exact":            {strings.NewReader("abc"), 3, nil, "abc", nil},
		"empty":            {strings.NewReader(""), 0, nil, "", nil},
		"data with EOF":    {iotest.DataErrReader(strings.NewReader("abc")), 3, nil, "abc", nil},
		"byte by byte":     {iotest.OneByteReader(strings.NewReader("abc")), 3, nil, "abc", nil},
		"short":            {strings.NewReader("ab"), 3, nil, "ab", io.ErrUnexpectedEOF},
		"short, with EOF":  {iotest.DataErrReader(strings.NewReader("ab")), 3, nil, "ab", io.ErrUnexpectedEOF},
		"nothing":          {strings.NewReader(""), 3, nil, "", io.ErrUnexpectedEOF},
		"verified":         {strings.NewReader("abc"), 3, func() error { return nil }, "abc", nil},
		"refused":          {strings.NewReader("abc"), 3, func() error { return errVerify }, "abc", errVerify},
		"short unverified": {strings.NewReader("ab"), 3, func() error { return errVerify }, "ab", io.ErrUnexpectedEOF},
		"broken":           {io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(errSource)), 3, nil, "ab", errSource},
		"broken at end":    {io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(errSource)), 3, nil, "abc", errSource},
	}
	for name, test := range tests {
		have, err := read(t.Context(), test.source, test.size, test.verify)
		if have != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, have, err, test.want, test.err)
		}
	}
	if have, err := read(t.Context(), strings.NewReader("abcd"), 3, nil); have != "abc" || err == nil {
		t.Errorf("too long: %q, %v; want abc and an error", have, err)
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := body.New(ctx, io.NopCloser(strings.NewReader("abc")), 3, nil)
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %d, %v", n, err)
	}
}
