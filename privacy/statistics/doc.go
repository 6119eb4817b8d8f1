// Package statistics turns questions about a fleet into vectors of bounded norm, and the
// noisy mean of such vectors back into answers with their errors.
//
// A [Query] is one question: a count, sum, mean, variance, histogram, quantiles, or the
// frequent values of a text. [New] validates a list of queries into a [Set]; [Set.Encode]
// maps one vehicle's local records to d values whose L2 norm is at most 1, whatever the
// records hold, and [Set.Decode] maps the opened mean of n such vectors to estimates, each
// with its standard error and a 95 % interval that cover the noise.
//
// One vector answers all queries of a set, so that one charge pays for them: query q has
// the share w_q of the squared norm, its Weight over the sum of all. Twice the weight
// makes its standard errors smaller by sqrt(2).
//
// The package knows no noise mechanism: what the vector costs follows from its norm
// (package privacy, GUARANTEE.md section 9). Everything that Decode does is
// post-processing.
package statistics
