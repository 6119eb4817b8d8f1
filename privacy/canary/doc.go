// Package canary turns the outcome of an attack on planted updates into a
// lower bound of epsilon, with a stated confidence: what the real system leaks
// at least, whatever its proof says. A bound above the claimed epsilon refutes
// the claim; one below does not confirm it.
//
// The method is in CANARY.md: [Coins] decide which of m canaries are included,
// the caller plants them and scores each by what was released, [Guess] guesses
// from the scores, and [Judge] compares the bounds with a claim. The bounds
// themselves see counts only. Package pipeline/canaryround plays a whole round.
package canary
