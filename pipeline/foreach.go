package pipeline

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

func readFull(r io.Reader, n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("pipeline: short object: %w", err)
	}
	return b, nil
}

// ForEach calls f for 0 to n-1 on as many goroutines as there are processors.
// worker numbers the goroutine, so that f can keep one scratch per worker. The first error stops it.
func ForEach(ctx context.Context, n int, f func(ctx context.Context, worker, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	workers := Workers(n)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < n; i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := f(ctx, w, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// Workers is the number of goroutines ForEach uses for n items.
func Workers(n int) int { return max(1, min(n, runtime.GOMAXPROCS(0))) }
