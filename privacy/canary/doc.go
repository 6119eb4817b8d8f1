// Package canary turns the outcome of an attack on planted updates into a
// lower bound of epsilon, with a stated confidence: what the real system leaks
// at least, whatever its proof says. A bound above the claimed epsilon refutes
// the claim; one below does not confirm it.
//
// The functions see counts only. How canaries are planted and guessed is the
// business of the caller: each of m canaries is included by a fair coin, the
// attacker may abstain, and guesses are scored after the release.
package canary
