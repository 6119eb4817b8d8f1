package auditor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

var enforcement = []string{
	"Every list that a vote certified is an entry of the ledger of its scope, and every vote that a receipt names gives the checkpoint that ends with this entry: the list was paid for before anybody voted. Every entry is counted, over all tasks of the scope.",
	"This audit verified every entry in its place with its predecessor, the Collectors' signatures as LEDGER.md section 10 says, every bundle, tile and checkpoint in the store against the tree that the entries give, and that receipts and the entries that end a reservation agree. Nothing in the middle can be missing or changed.",
	"The budget holds even if Collectors and store conspire, as long as the tasks of the scope have one committee, or each next one replaced the one before after enough of its members had handed over, with no more malicious members than the tasks name: two ledgers would need more of them than that to vote on both.",
	"One event is charged for each (task, epoch) and one participation for each vehicle in it, whatever became of the round; only a round that was voided in the ledger and that nobody voted in gives its cost back.",
}

// rollback says what the audit of one ledger can tell of its past.
func (s *Scope) rollback() string {
	l := s.Ledger
	switch {
	case l == nil:
		return fmt.Sprintf("The ledger of %q was not verified.", s.Scope.Name)
	case l.Remembered > 0:
		return fmt.Sprintf("The ledger of %q continues the first %d entries that an earlier audit saw: nothing of these was taken back. It has %d now.", s.Scope.Name, l.Remembered, l.Size)
	}
	return fmt.Sprintf("No checkpoint of an earlier audit was given for the ledger of %q, which has %d entries. So if Collectors and store put another ledger in its place, or took its newest entries away together with their rounds, this audit cannot see it; decryptors that voted refuse to go on. Keep the checkpoint for the next audit.", s.Scope.Name, l.Size)
}

var outsideBudget = []string{
	"Choices made on the same vehicles' data outside these rounds (trying tasks, models, clipping norms, numbers of rounds, learning rates) are not in epsilon; the objects cannot show them.",
	"Accuracy measured on vehicles, telemetry, or anything else that was published about updates is not in epsilon.",
	"Rounds that failed after a vote are in epsilon, as if their sum had been published.",
}

// clippingWords says how the clipping norms came about and what that cost.
func clippingWords(tasks []*Task) []string {
	var all []string
	for _, t := range tasks {
		if a := t.Adaptive; a != nil {
			all = append(all, fmt.Sprintf("The clipping norm of task %s follows the fraction of updates within it, aiming at %g. Each norm was computed again here from the round that its descriptor names. "+
				"The indicators that are counted lie inside the sensitivity that every epoch is charged for: %.3g %% of the charge's rho is theirs, and nothing comes on top. The norms cost no more, being computed from published numbers.",
				t.ID.Short(), float64(a.TargetQuantile), 100*a.ShareOfRho))
		}
	}
	if len(all) < len(tasks) {
		which := "of a task without adaptive clipping"
		if len(all) == 0 {
			which = "within a task"
		}
		all = append(all, fmt.Sprintf("The clipping norm is constant %s, so no budget was spent on adapting it.", which))
	}
	return all
}

var implementation = []string{
	"Noise: exact integer sampler of the discrete Gaussian on AES-256-CTR keyed from the operating system's randomness, hedged with a device secret and the message; its distance to the distribution is at most 2^-96 a sample and charged to delta.",
	"Floating point: only before the last check. The claim rests on sum m_j^2 <= D^2, checked in exact integers after clipping and rounding; the noise is added in integers.",
	"Rounding: conditional stochastic rounding onto the grid; after 16 failures the update is scaled by 0.99, at last zero is sent.",
	"Wrapping: the modulus holds the largest list but for a chance of 2^-40 for each value; a wrapped value costs accuracy, never privacy.",
	"Timing: sealing does not branch on secrets; clipping and rounding before it are not constant-time.",
	"This audit ran no self-test of the vehicles' samplers and no empirical attack (canaries): what ran on vehicles, nobody can see from the store.",
}

var notProtected = []string{
	"That a vehicle took part, when, how often, and how much it sent. Pseudonyms are stable within a BudgetScope.",
	"A vehicle whose own computer is compromised.",
	"The meaning of the sum: nothing proves that a vehicle clipped its update; a malicious one can send any vector (poisoning) or void a round.",
	"The limit on dishonest vehicles, if the enrollment authority is compromised. Then secrecy among the honest vehicles of a list remains, and each one's own noise.",
	"Vehicles against a privacy owner that signs a task with little noise, but for the floor that they set themselves.",
	"What several vehicles have in common, such as a street or an owner with two cars: the unit is one vehicle.",
	"Decryptors restored from a backup or run twice, and old copies of their disks.",
}

// plain says in plain language what the numbers mean.
func plain(s *Statement) []string {
	if !s.Complete {
		return []string{"The evidence does not verify. Nothing on this page may be relied on; see the flaw."}
	}
	var all []string
	for _, sc := range s.Scopes {
		all = append(all, sc.plain()...)
	}
	committed, signed := 0, 0
	for _, t := range s.Tasks {
		committed, signed = committed+t.Committed, signed+t.Signed
	}
	all = append(all, fmt.Sprintf("%d sums were opened and published. Each was computed again here from the encrypted reports and the committee's answers and is, byte for byte, what was published.", committed))
	if signed > 0 {
		all = append(all, fmt.Sprintf("For %d of them the large part of the reports was not read: their encrypted sum is taken as the Collector signed it.", signed))
	}
	return append(all, "Nothing but these sums was opened, as long as the parties named under trust are honest.")
}

func (s ScopeStatement) plain() []string {
	if s.Epochs == 0 {
		return []string{fmt.Sprintf("Nothing has been spent of the budget %q.", s.Name)}
	}
	worst := s.Spent
	if s.Worst != nil {
		worst = least(s.Worst.Epsilon)
	}
	return []string{
		fmt.Sprintf("The budget %q covers: %s.", s.Name, strings.TrimSuffix(s.Population, ".")),
		fmt.Sprintf("It protects one %s at a time: %s.", s.Unit, s.Meaning),
		fmt.Sprintf("Over %d epochs epsilon %.4g of %g was spent at delta %g. Somebody who at first holds it for as likely as not that a certain vehicle's updates were in the sums can become at most %s sure from all that was published, but for a chance of delta.",
			s.Epochs, s.Spent, s.Allowed, s.Delta, surest(worst)),
		fmt.Sprintf("No vehicle took part in more than %d epochs; its own epsilon is %.4g. No amplification by sampling is claimed.", s.MaxParticipation, worst),
	}
}

// surest is the largest belief that epsilon allows from even odds.
func surest(epsilon float64) string {
	p := 100 / (1 + math.Exp(-epsilon))
	if p > 99.9 {
		return fmt.Sprintf("%.4f\u00a0%%", p)
	}
	return fmt.Sprintf("%.1f\u00a0%%", p)
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

// Recomputed tells how many sums were added again from all pieces, and how many were taken as signed.
func (r *Report) Recomputed() (recomputed, signed int) {
	for _, t := range r.Tasks {
		for _, round := range t.Rounds {
			switch {
			case round.Status == schema.StatusCommitted && round.Depth == SumRecomputed:
				recomputed++
			case round.Status == schema.StatusCommitted && round.Depth == SumSigned:
				signed++
			}
		}
	}
	return recomputed, signed
}
