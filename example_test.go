package veilsum_test

import (
	"context"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// README begin

// On a vehicle: seal this epoch's update and send it, in one message.
func report(ctx context.Context, s storage.Store, v *client.Client, task schema.TaskID, epoch uint64, update []float32, model []byte) error {
	sealed, err := v.Seal(ctx, s, task, epoch, client.Update{Values: update, ModelHash: schema.HashModel(model)})
	if err != nil {
		return err
	}
	_, err = v.Upload(ctx, s, sealed.File(), nil) // may be interrupted; Upload again sends the same bytes
	return err
}

// At the collector: the mean update, once t decryptors have answered; errors.Is(err, pipeline.ErrDecryptors) before.
func mean(ctx context.Context, s storage.Store, c *collector.Collector, r *pipeline.Round) ([]float64, error) {
	got, err := c.Collect(ctx, s, r, nil)
	if err != nil {
		return nil, err
	}
	return got.Mean, nil
}

// README end

var _, _ = report, mean // only the README shows them
