package report

// Audit is everything that the page of an audit shows. All strings are escaped;
// numbers that are unknown are NaN.
type Audit struct {
	Title string
	// Created is when and by what the page was made, as text.
	Created string
	// Store and Owner are the audited store and the pinned key.
	Store, Owner string
	// Complete says that all evidence verified; else FlawObject and Flaw name the first that does not.
	Complete         bool
	FlawObject, Flaw string
	// Recomputed sums were added again from all pieces, Signed ones are taken as signed.
	Recomputed, Signed int
	// Plain is the statement in plain language, a sentence each.
	Plain  []string
	Scopes []AuditScope
	Tasks  []AuditTask
	// Objects counts the verified objects by kind.
	Objects []AuditCount
	// Notes are remarks on single objects.
	Notes []AuditNote
	// Lists of sentences.
	Enforcement, OutsideBudget, Implementation, NotProtected []string
	// Software names what the audit was computed with.
	Software []Parameter
}

// AuditScope is one privacy budget.
type AuditScope struct {
	Name, Population string
	// Spent of Allowed at Delta, for a vehicle that took part in everything; Worst is the
	// worst vehicle's by its own participations.
	Spent, Allowed, Delta, Worst float64
	// Accountants names the series of Charges.Epsilon.
	Accountants []string
	Charges     []AuditCharge
	Vehicles    []AuditGroup
	Facts       []Parameter
}

// AuditCharge is one charged epoch with epsilon after it, by each accountant.
type AuditCharge struct {
	Label   string
	Epsilon []float64
}

// AuditGroup is the vehicles that were charged in Epochs epochs, with their epsilon.
type AuditGroup struct {
	Epochs, Vehicles int
	Epsilon          float64
}

// AuditTask is one task with its rounds.
type AuditTask struct {
	Name, ID string
	Facts    []Parameter
	// Trust says who has to be honest.
	Trust  []string
	Rounds []AuditRound
}

// AuditRound is one round. Status "committed" has an opened sum.
type AuditRound struct {
	Name, Status, Reason string
	// Sum says how the sum was verified.
	Sum                     string
	Reports                 int
	Votes, Answers, Dropped []int
	// WitnessVariance was found, WitnessFloor is the least that is allowed.
	WitnessVariance, WitnessFloor float64
	// NoiseStdDev and MeanRMS are of one value of the opened mean.
	NoiseStdDev, MeanRMS float64
	// Epsilon is the scope's after the round's epoch.
	Epsilon                                       float64
	Manifest, Checkpoint, SumSHA256, Aggregate256 string
}

// AuditCount is a number of objects of one kind.
type AuditCount struct {
	Kind  string
	Count int
}

// AuditNote is a remark on one object.
type AuditNote struct{ Object, Text string }
