// Package sampler is the one source of pseudorandom bytes and of integer noise
// in the module.
//
// [Derive] is the key derivation of PROTOCOL.md (HKDF-SHA256, RFC 5869) and
// [Key] an expanded AES-256 key whose [Stream] values are counter-mode
// keystreams (NIST SP 800-38A section 6.5). [Gaussian] draws from N_Z(0, s^2),
// the distribution on the integers with P(x) proportional to
// exp(-x^2/(2 s^2)) (Canonne, Kamath and Steinke 2020), with a proven bound on
// the statistical distance and with a running time that does not depend on the
// values returned. [NewStrictGaussian] is the slow reference for small widths.
// [Skellam] is the difference of two Poisson variables (Agarwal, Kairouz and Liu
// 2021) from tables of the same kind, and [DiscreteLaplace] the two-sided
// geometric distribution, exactly. Of these two, read what their timing tells.
//
// Nothing here reads a random source of the operating system: callers seed a
// Key with 32 uniform bytes, and equal keys and indices give equal samples.
package sampler
