// Package pipeline joins the pillars into a round: it turns a signed task into
// the parameters of privacy and secagg ([NewPlan]), names the objects in a
// store, and reads them back verified ([LoadTask], [LoadRound]).
//
// The roles live below, one package each, and meet only in the store:
// client (seals and uploads), aggregator (adds, learns nothing), decryptor
// (checks, votes once, answers once, erases) and collector (proposes the list,
// opens the sum, writes the aggregate and the receipt). Every step may be killed
// and started again; STATES.md tells what each of them leaves behind.
//
// Nothing read from a store is trusted: every object is bounded, decoded
// strictly and verified against the key that the task names, and the task against the
// privacy owner's key that the caller pins.
package pipeline
