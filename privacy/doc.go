// Package privacy turns a clipped model update into the bounded integers that
// are summed under encryption, and says what differential privacy that gives.
//
// Start with [New], which validates a [Literal] into [Params]; a client then
// uses [NewEncoder] and [Encoder.Encode], a collector [Encoder.Decode], and
// everyone may ask [Params.Guarantee]. GUARANTEE.md beside this file is the
// formal statement.
//
// In the distributed trust model (the default) this package adds no noise: the
// discrete Gaussian that each client adds while sealing, of parameter
// [Params.LocalStdDev], is both the encryption noise and its share of the
// privacy noise. The privacy claim rests on one fact checked in exact integers,
// sum m_j^2 <= D^2; no floating-point result enters it.
//
// With [Literal.Adaptive] every report also tells, inside the same bound and the
// same charge, whether its update was clipped, and [Params.NextClippingNorm]
// follows a quantile of the norms.
//
// What this package does not do: it holds no budget (package ledger), draws no
// sealing noise (secagg), trains nothing, and claims no amplification by
// sampling.
package privacy
