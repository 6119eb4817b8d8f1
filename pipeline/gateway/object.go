package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/storage"
)

// object serves what a vehicle needs to take part. Everything else does not exist here.
func (g *Gateway) object(x *exchange, key string) error {
	none := refuse(wire.CodeNotFound, "no such object")
	o, ok := pipeline.ParseObject(key)
	if !ok || !g.rounds.served(o.Round.Task) {
		return none
	}
	switch o.Kind {
	case pipeline.KindTask, pipeline.KindRoundKey, pipeline.KindDescriptor, pipeline.KindReceipt, pipeline.KindRelease:
	case pipeline.KindModel, pipeline.KindDelta:
		b, err := g.bearer(x)
		if err != nil {
			return err
		}
		if b.round.Task != o.Round.Task {
			return refuse(wire.CodeLogin, "log in to a round of this task")
		}
	default:
		return none
	}
	// In the order of a vehicle's way: what is no task of the owner has no other objects either.
	if _, err := g.rounds.plan(x.request.Context(), o.Round.Task); err != nil {
		return roundError(err)
	}
	err := g.send(x, o.Key())
	if errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrDamaged) {
		return none
	}
	return err
}

// send answers with the object or, for "Range: bytes=A-B", a part of it.
func (g *Gateway) send(x *exchange, key string) error {
	ctx, s := x.request.Context(), g.config.Store
	info, err := s.Stat(ctx, key)
	if err != nil {
		return err
	}
	first, n, status := int64(0), info.Size, http.StatusOK
	if a, b, ok := rangeOf(x.request); ok {
		if a >= info.Size {
			return refuse(wire.CodeRange, "the object has %d bytes", info.Size)
		}
		b = min(b, info.Size-1)
		first, n, status = a, b-a+1, http.StatusPartialContent
		x.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, b, info.Size))
	}
	h := x.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	h.Set("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	if x.request.Method == http.MethodHead {
		x.WriteHeader(status)
		return nil
	}
	r, err := g.openObject(x, key, first, n, status)
	if err != nil {
		return err
	}
	defer r.Close()
	x.WriteHeader(status)
	return g.copyOut(x, r)
}

func (g *Gateway) openObject(x *exchange, key string, first, n int64, status int) (io.ReadCloser, error) {
	ctx := x.request.Context()
	if status == http.StatusPartialContent {
		return g.config.Store.GetRange(ctx, key, first, n)
	}
	r, info, err := g.config.Store.Get(ctx, key)
	if err == nil && info.Size != n { // objects never change
		r.Close()
		err = storage.ErrDamaged
	}
	return r, err
}

// rangeOf reads a Range header of one closed range; all others are ignored, as RFC 9110 allows.
func rangeOf(r *http.Request) (first, last int64, ok bool) {
	s := r.Header.Get("Range")
	_, err := fmt.Sscanf(s, "bytes=%d-%d", &first, &last)
	return first, last, err == nil && first >= 0 && first <= last && s == fmt.Sprintf("bytes=%d-%d", first, last)
}

var copyBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// copyOut sends the body; a reader slower than the slowest rate is left. What fails here fails short of
// the announced length, which the vehicle notices.
func (g *Gateway) copyOut(x *exchange, r io.Reader) error {
	buf := copyBuffers.Get().(*[16 << 10]byte)
	defer copyBuffers.Put(buf)
	control := http.NewResponseController(x)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	patience := g.config.Limits.Idle + time.Duration(len(buf)/g.config.Limits.MinRate)*time.Second
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(patience))
			if _, failed := x.Write(buf[:n]); failed != nil {
				return nil // the vehicle is gone
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
