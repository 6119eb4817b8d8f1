// Package secaggbench holds the yardsticks that `veilsum bench` measures the
// secure sum against: lattigo's bare inverse transform ([Transform]), the plain
// float32 addition of a server that sees every update ([FloatAdds]), the
// cryptography that no decryptor can do without ([Bare]), and a whole plain BGV
// multiparty sum ([BGV]).
//
// Nothing in it protects anybody, and nothing but benchmarks and tests may
// import it. Its types are for one goroutine at a time.
package secaggbench
