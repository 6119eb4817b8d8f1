package secagg

import "fmt"

// maxCommittee is the largest committee of section 2. The number of seeds a
// client makes grows as C(Size, Threshold-1), at most 12,870 here.
const maxCommittee = 16

// Committee says how many decryptors there are and how many are trusted: any
// Threshold of them open a sum, any Threshold-1 learn nothing, and up to
// Malicious of them may do anything at all.
type Committee struct {
	Size      int `json:"size"`      // n_c, decryptors, 2 to 16. Required.
	Threshold int `json:"threshold"` // t, answers that open a sum, at least 2. Required.
	Malicious int `json:"malicious"` // f, most malicious decryptors, at least 1. Required.
}

// DefaultCommittee is (4,3,1).
var DefaultCommittee = Committee{Size: 4, Threshold: 3, Malicious: 1}

// Validate applies the gate of section 2. Besides (5,4,2) and (3,3,2), which
// are safe but stop when more than one or no member is silent, a committee
// must satisfy t > f (the malicious ones cannot open), 2t - n_c > f (two lists
// with t votes each share an honest voter, who votes once) and n_c - f >= t
// (the honest ones can open alone).
func (c Committee) Validate() error {
	switch c {
	case Committee{5, 4, 2}, Committee{3, 3, 2}:
		return nil
	}
	n, t, f := c.Size, c.Threshold, c.Malicious
	if n < 2 || n > maxCommittee || t < 2 || t > n || f < 1 {
		return fmt.Errorf("%w: Committee (%d,%d,%d): out of range", ErrParams, n, t, f)
	}
	if t <= f || 2*t-n <= f || n-f < t {
		return fmt.Errorf("%w: Committee (%d,%d,%d): needs t > f, 2t-n > f and n-f >= t", ErrParams, n, t, f)
	}
	return nil
}

// Sets returns every set T of Threshold-1 decryptors as an increasing list of
// indices, in lexicographic order (section 4). A set is called by its position
// in this list. It returns nil for a committee that Validate refuses.
func (c Committee) Sets() [][]int {
	if c.Validate() != nil {
		return nil
	}
	var sets [][]int
	set := make([]int, 0, c.Threshold-1)
	var extend func(from int)
	extend = func(from int) {
		if len(set) == c.Threshold-1 {
			sets = append(sets, append([]int(nil), set...))
			return
		}
		for k := from; k < c.Size; k++ {
			set = append(set, k)
			extend(k + 1)
			set = set[:len(set)-1]
		}
	}
	extend(0)
	return sets
}

// Held returns the positions of the sets without decryptor k, in order: the
// seeds that its box holds. It is empty for k outside 0 to Size-1.
func (c Committee) Held(k int) []int {
	if k < 0 || k >= c.Size {
		return nil
	}
	var held []int
	for i, set := range c.Sets() {
		if !contains(set, k) {
			held = append(held, i)
		}
	}
	return held
}

// contains is called on lists of at most 15 indices.
func contains(set []int, k int) bool {
	for _, member := range set {
		if member == k {
			return true
		}
	}
	return false
}
