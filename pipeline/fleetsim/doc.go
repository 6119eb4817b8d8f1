// Package fleetsim is a fleet of vehicles that train a model together: who holds
// which rows, what each vehicle computes, and who vanishes in which round. It is
// for demonstrations, tests and benchmarks; no production path needs it.
//
// Start with [Inertial] or [Digits] to turn raw rows into a [Dataset], pass it with
// [InertialConfig] or [DigitsConfig] to [New], and drive a [Trainer] round by round:
//
//	for round := range fleet.Config().Rounds {
//		for vehicle, fate := range fleet.Plan(round) { ... trainer.Update(vehicle) ... }
//		trainer.Apply(mean) // what the collector opened, divided by the number of reports
//	}
//
// The package knows neither cryptography nor Arrow nor the pipeline: the caller
// clips, seals, sums and opens. [PlainRun] is the same training without privacy
// (same vehicles, same dropouts, no clipping, no noise), the yardstick for accuracy;
// [NoisyRun] imitates the private training in floating point and protects nobody.
//
// # What is outside the privacy budget
//
// The scale of each feature is a constant in the source, in the units of the
// sensors, so a vehicle prepares its rows alone: statistics pooled over the training
// rows would be a release of their own. The constants and every default of the two
// configurations (rounds, step sizes, clipping norm) were nevertheless chosen by
// looking at these public data sets, the test rows included; no epsilon is charged
// for that choice, and a fleet with private data would have to tune on public data
// or pay for it.
//
// All randomness here is seeded and reproducible: it chooses dropouts and simulated
// noise, never a secret.
package fleetsim
