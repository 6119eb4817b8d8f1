// Package accountant turns a record of what was released into a privacy
// guarantee. It knows nothing of vehicles, updates or messages and may be used
// alone: describe each release as an [Event], then ask [Account] or one of the
// accountants.
//
// An Event says what was done, never what it cost, so a later and tighter
// accountant can judge an old record again. The accountants that judge it are
//
//   - [RDP], Rényi differential privacy (Mironov 2017) at fixed orders, cheap
//     and incremental ([Budget]); [Account] is the same at the best real order
//     and charges the distance of the sampler to the exact distribution;
//   - [PLD], privacy-loss distributions: connecting the dots (Doroshenko et al.
//     2022), composed by an exponentially tilted Fourier transform, with a
//     lower and an upper bound, both directions of the relation;
//   - [Exact], where there is a formula.
//
// An event that an accountant has no proof for is refused, never guessed. The
// relation and the unit are part of every [Guarantee]. [AccountTight] takes
// the best of the three, [Judge] reports all of them, [Calibrate],
// [CalibrateTight] and [Affordable] go the other way.
//
// Amplification by sampling is claimed only where the record says that there
// was a secret sample; no accountant can check that.
//
// Every result but PLD's lower bound is an upper bound: a larger epsilon than
// necessary is possible, a smaller one is a defect.
package accountant
