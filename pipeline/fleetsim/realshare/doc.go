// Package realshare lets a few vehicles of a simulated fleet run the real code: client, gateway over
// TLS, committee, aggregator and collector, through a store. What it measures (bytes, waits,
// the price of a break, processor time) is what package planet then assumes of all the others.
//
// Call [Run]. Links are those of the vehicles' profiles, in simulated time: a connection counts the
// bytes that pass and moves a clock, and breaks where the link would. Nothing sleeps.
//
// Keys and noise are real and come from the system, so counts of bytes and waits repeat with the
// seed of the scenario, times and ciphertexts do not. The vehicles' updates are made up.
package realshare
