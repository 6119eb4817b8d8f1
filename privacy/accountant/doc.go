// Package accountant turns a record of what was released into a privacy
// guarantee. It knows nothing of vehicles, updates or messages and may be used
// alone: describe each release as an [Event], then ask [Account].
//
// An Event says what was done, never what it cost, so a later and tighter
// accountant can judge an old record again. This version composes Rényi
// differential privacy (RDP; Mironov 2017) of Gaussian, discrete Gaussian,
// distributed discrete Gaussian, Laplace and zCDP events, converts at the best
// real order (Canonne, Kamath and Steinke 2020, Proposition 12) and charges
// the distance of the sampler to the exact distribution. No amplification by
// sampling is claimed. A privacy-loss-distribution accountant is to come
// beside it; it will judge the same events.
//
// Every result is an upper bound: a larger epsilon than necessary is possible,
// a smaller one is a defect.
package accountant
