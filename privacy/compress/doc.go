// Package compress is the public linear maps by which a vehicle sends k numbers
// instead of d, so that the sum of what is sent is the map of the sum of updates.
//
// Start with [New]: it draws the map A of one round from a public seed.
// [Map.Apply] is A x, for the vehicle; [Map.Expand] is A^T y, for whoever opened
// the sum. In every kind the columns of A have norm 1 in the mean and E[A^T A]
// is the identity, so an expanded sum is unbiased, A keeps norms in the mean, and noise of
// standard deviation s in each of the k numbers is noise of root mean square s in each of the d
// expanded ones: compression neither adds to that noise nor takes from it. What it adds is
// [Spec.ErrorFactor] times the square of the mean's norm. "The Fundamental Price of
// Secure Aggregation in Differentially Private Federated Learning" (Chen,
// Choquette-Choo, Kairouz and Suresh, ICML 2022) shows as its main result that under secure aggregation about
// min(d, (n epsilon)^2) bits of each client are necessary and, by sparse random projections, sufficient
// for the accuracy of central differential privacy, up to logarithms; [KeepFor] is that number with a constant.
//
// Nothing here protects anybody: a privacy claim rests on what is clipped
// behind the map (package privacy).
package compress
