// Package planet simulates a fleet of vehicles all over the world by discrete events: who
// is on the road or parked at which hour, which link each has and when it breaks, beams of
// satellites that many share, and rounds that close on a buffer of reports or a deadline.
//
// Start from [Defaults], change the [Scenario] and call [Run]. It returns tallies; one by one
// only what becomes of the first [Scenario].Watched vehicles is told, to [Options].Observe:
//
//	s := planet.Defaults()
//	s.Vehicles, s.Watched, s.Schedule.Buffered = 100_000, 500, true
//	result, err := planet.Run(s, planet.Options{Context: ctx, Observe: func(a planet.Attempt) { … }})
//
// An [Attempt] says when a vehicle started, from which version of the model, when its report
// arrived, in which round it counted, if it did, and how many versions the model had moved
// on by then. Whoever trains a real model on these links keeps the versions, trains vehicle
// a.Vehicle on version a.Model, and applies the updates of the attempts that are [Counted]
// grouped by round, in the order of [Attempt].Round: they are told when their round closes.
//
// # What is modeled
//
// A vehicle is parked or drives: an on-off process whose departures follow the local hour. It is
// online while it drives or, by its profile, while it is parked at night. A round opens, invites
// vehicles, and each that comes online downloads the model, trains, seals and uploads. The link
// has outages; one longer than the gateway's patience, and ignition-off, cost the piece under way,
// never the pieces before it. What is left is sent at the next occasion, while the round is open.
// In a beam all uploads slow down by the same factor once their rates exceed its capacity.
//
// Downloads share no beam, and clocks, gateways and the store are never the bottleneck. All figures that
// a scenario can state are in FLEETSIM.md beside package fleetsim, with their sources.
//
// # Same seed, same result
//
// Every vehicle has a random stream of its own, and events of equal time keep their order: the
// result depends on scenario and seed only (and, in the last bits, on whether the processor fuses multiply and add). The package knows neither cryptography nor Arrow; its
// randomness protects nothing.
package planet
