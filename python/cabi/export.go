//go:build cgo

package main

/*
#cgo CFLAGS: -std=c11 -Wall -Wextra -Werror
#include <stdlib.h>
#include "abi.h"
*/
import "C"

import (
	"context"
	"errors"
	"math"
	"unsafe"

	"github.com/veilsum/veilsum/python/internal/calls"
)

var library = calls.New()

// maxViews bounds the buffers of one call: a request, one for each tensor and a model.
const maxViews = 1 << 16

// badCall is the status of a call that has no place for its answer.
const badCall = 2

var errViews = errors.New("the buffers are malformed")

//export veilsum_call
func veilsum_call(method *C.char, in *C.veilsum_view, n C.int32_t, out *C.veilsum_answer) C.int32_t {
	if out == nil {
		return badCall
	}
	*out = C.veilsum_answer{}
	views, err := lent(in, n)
	if err != nil || method == nil {
		status, text := calls.Malformed(errViews)
		return answer(out, status, text)
	}
	var body unsafe.Pointer // C memory, of which Go holds the only reference until the answer has it
	status, text, b := library.Call(context.Background(), C.GoString(method), views[0], views[1:], func(size int) ([]byte, error) {
		C.veilsum_free(body)
		if body = C.veilsum_alloc(C.int64_t(size)); body == nil {
			return nil, errNoMemory
		}
		return unsafe.Slice((*byte)(body), size), nil
	})
	if status != 0 {
		C.veilsum_free(body)
		body = nil
	}
	out.body, out.body_size = body, C.int64_t(len(b))
	return answer(out, status, text)
}

var errNoMemory = errors.New("python: no memory for the answer")

// answer copies the text into C memory.
func answer(out *C.veilsum_answer, status int, text []byte) C.int32_t {
	out.status = C.int32_t(status)
	if out.text = C.veilsum_alloc(C.int64_t(len(text))); out.text != nil {
		copy(unsafe.Slice((*byte)(out.text), len(text)), text)
		out.text_size = C.int64_t(len(text))
	}
	return out.status
}

// lent makes slices of the caller's buffers; they are valid until the call returns.
func lent(in *C.veilsum_view, n C.int32_t) ([][]byte, error) {
	if in == nil || n < 1 || n > maxViews {
		return nil, errViews
	}
	views := make([][]byte, n)
	for i, v := range unsafe.Slice(in, int(n)) {
		switch {
		case v.size < 0 || int64(v.size) > math.MaxInt || v.data == nil && v.size > 0:
			return nil, errViews
		case v.size > 0:
			views[i] = unsafe.Slice((*byte)(v.data), int(v.size))
		}
	}
	return views, nil
}
