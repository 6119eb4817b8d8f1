// Package calls answers the calls that the Python package makes: a method's name, a request in JSON, and buffers go in,
// a text in JSON and at most one buffer come out.
//
// A [Library] holds the long-lived objects (stores, tasks, rounds, clients, members) behind numbered handles, and
// [Library.Call] is its only door. It is safe for concurrent use: what one vehicle or one decryptor does runs
// one call after the other. A panic becomes a failure. Nothing here keeps a buffer that was lent to a call.
package calls

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Alloc returns memory for an answer's buffer, which outlives the call.
type Alloc func(size int) ([]byte, error)

// Library is all that one loaded library knows. Make one with [New].
type Library struct {
	mu      sync.Mutex
	last    int64
	handles map[int64]any
}

// New returns a library without handles.
func New() *Library { return &Library{handles: map[int64]any{}} }

// Limits of what a caller may hand over.
const (
	maxRequest = 64 << 20 // bytes of JSON
	maxHandles = 1 << 20
)

// call is one call under way.
type call struct {
	context.Context
	*Library
	alloc  Alloc
	bodies [][]byte // lent: valid until the call returns
	body   []byte   // the answer's, from alloc
}

// method answers one kind of call.
type method func(c *call, request []byte) (any, error)

// bind makes a method of a function with a typed request; unknown fields are refused.
func bind[Q any](f func(c *call, q Q) (any, error)) method {
	return func(c *call, request []byte) (any, error) {
		var q Q
		if err := strict(request, &q); err != nil {
			return nil, mistake("request: %w", err)
		}
		return f(c, q)
	}
}

func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows")
	}
	return nil
}

// methods are all methods by name.
var methods = map[string]method{
	"version":        bind(version),
	"handle.close":   bind(closeHandle),
	"key.new":        bind(newKey),
	"key.public":     bind(publicKey),
	"store.open":     bind(openStore),
	"task.publish":   bind(publishTask),
	"task.open":      bind(openTask),
	"task.enroll":    bind(enroll),
	"task.bundle":    bind(bundle),
	"task.budget":    bind(budget),
	"bundle.open":    bind(openBundle),
	"client.init":    bind(initClient),
	"client.open":    bind(openClient),
	"client.seal":    bind(seal),
	"client.upload":  bind(upload),
	"collector.open": bind(openCollector),
	"round.open":     bind(openRound),
	"round.load":     bind(loadRound),
	"round.add":      bind(addReport),
	"round.sum":      bind(sumReports),
	"round.merge":    bind(mergeSums),
	"round.put":      bind(putSum),
	"round.close":    bind(closeRound),
	"round.propose":  bind(propose),
	"round.collect":  bind(collect),
	"round.abort":    bind(abort),
	"round.status":   bind(status),
	"round.result":   bind(result),
	"member.open":    bind(openMember),
	"member.step":    bind(stepMember),
	"account":        account,
	"audit":          bind(audit),
}

// Call runs one method. The answer is JSON text, of the result or of the [Failure]; body is from
// alloc, or nil, and always nil with a failure. The bodies are not kept.
func (l *Library) Call(ctx context.Context, name string, request []byte, bodies [][]byte, alloc Alloc) (status int, text, body []byte) {
	c := &call{Context: ctx, Library: l, alloc: alloc, bodies: bodies}
	v, err := c.run(name, request)
	if err == nil {
		if text, err = json.Marshal(v); err == nil {
			return 0, text, c.body
		}
		err = fmt.Errorf("python: encode the answer: %w", err)
	}
	f := explain(ctx, err)
	return f.Code, f.text(), nil
}

// run turns a panic into an error. Its text is that of the runtime only: a panic's value may quote data.
func (c *call) run(name string, request []byte) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
			if e, ok := p.(runtime.Error); ok {
				err = fmt.Errorf("%w: %s: %w", errPanic, name, e)
			}
		}
	}()
	m, ok := methods[name]
	if !ok {
		return nil, mistake("no method %.40q", name)
	}
	if len(request) > maxRequest {
		return nil, mistake("a request of %d bytes, at most %d", len(request), maxRequest)
	}
	return m(c, request)
}

// errPanic: a defect of this package. The library goes on.
var errPanic = errors.New("python: internal error, a defect: please report it")

// grow sets the answer's buffer.
func (c *call) grow(size int) ([]byte, error) {
	b, err := c.alloc(size)
	if err == nil {
		c.body = b
	}
	return b, err
}

// reply copies bytes into the answer's buffer.
func (c *call) reply(b []byte) error {
	out, err := c.grow(len(b))
	copy(out, b)
	return err
}

// keep gives an object a handle.
func (l *Library) keep(v any) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.handles) >= maxHandles {
		return 0, fmt.Errorf("python: more than %d open objects: close what is not used", maxHandles)
	}
	l.last++
	l.handles[l.last] = v
	return l.last, nil
}

// get returns the object behind a handle.
func get[T any](l *Library, handle int64) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.handles[handle].(T)
	if !ok {
		return v, mistake("handle %d: it is closed, or something else", handle)
	}
	return v, nil
}

// closer is what holds more than memory.
type closer interface{ close() error }

func closeHandle(c *call, q struct {
	Handle int64 `json:"handle"`
},
) (any, error) {
	c.mu.Lock()
	v := c.handles[q.Handle]
	delete(c.handles, q.Handle)
	c.mu.Unlock()
	if x, ok := v.(closer); ok {
		return struct{}{}, x.close()
	}
	return struct{}{}, nil
}
