package main

import (
	"context"
	"os"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/trial"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage"
)

// load reads the rows and gives them to vehicles.
func load(path string, rounds int) (*fleetsim.Fleet, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := arrowipc.ReadTable(file)
	if err != nil {
		return nil, err
	}
	var rows fleetsim.InertialRows
	if rows.Features, _, err = t.Floats("features"); err != nil {
		return nil, err
	}
	for name, to := range map[string]*[]int64{"label": &rows.Labels, "recording": &rows.Recordings, "subject": &rows.Subjects} {
		if *to, _, err = t.Ints(name); err != nil {
			return nil, err
		}
	}
	if rows.Sides, err = t.Strings("side"); err != nil {
		return nil, err
	}
	data, err := fleetsim.Inertial(rows)
	if err != nil {
		return nil, err
	}
	c := fleetsim.InertialConfig()
	c.Rounds = rounds
	return fleetsim.New(c, data)
}

// newTask asks for the least noise that keeps all rounds together within epsilon.
func newTask(fleet *fleetsim.Fleet) (schema.Task, error) {
	c := fleet.Config()
	z, err := privacy.NoiseMultiplierFor(privacy.Literal{
		Values: fleet.Dimension(), ClippingNorm: c.ClippingNorm,
		MinBatchSize: fleet.MinBatchSize(), MaxBatchSize: fleet.Vehicles(), MaxDishonest: c.MaxDishonest,
	}, int64(c.Rounds), c.Epsilon, c.Delta)
	return schema.Task{
		Name: "wrist movements",
		Scope: schema.Scope{
			Name: "wrist movements", Population: "simulated vehicles", Unit: "vehicle", Relation: "zero_out",
			Epsilon: schema.Real(c.Epsilon), Delta: schema.Real(c.Delta),
		},
		Tensors: []schema.Tensor{{Name: "weights", DType: "float32", Shape: fleet.Shape()}},
		Privacy: schema.Privacy{
			TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: schema.Real(c.ClippingNorm),
			NoiseMultiplier: schema.Real(z), Kappa: 1, KappaInf: 1,
		},
		Batch:         schema.Batch{Min: fleet.MinBatchSize(), Max: fleet.Vehicles(), MaxDishonest: c.MaxDishonest, Lanes: 1},
		Participation: schema.Participation{Max: c.Rounds, MinSeparation: 1},
		Suite:         1,
	}, err
}

// drive is what the vehicles do in an epoch: those that are there train, seal and send, in one message each.
func drive(ctx context.Context, store storage.Store, cast *trial.Cast, fleet *fleetsim.Fleet, epoch uint64, model *fleetsim.Trainer) error {
	fates, hash := fleet.Plan(1, int(epoch)-1), schema.HashModel(fleetsim.EncodeModel(model.Model()))
	return pipeline.ForEach(ctx, cast.Vehicles(), func(ctx context.Context, _, i int) error {
		if fates[i] != fleetsim.Present {
			return nil
		}
		v, stop, err := cast.Client(i)
		if err != nil {
			return err
		}
		defer stop()
		update, err := model.Update(i)
		if err != nil {
			return err
		}
		report, err := v.Seal(ctx, store, cast.Task, epoch, client.Update{Values: update, ModelHash: hash})
		if err != nil {
			return err
		}
		_, err = v.Upload(ctx, store, report.File(), nil)
		return err
	})
}
