package auditor

// Agree compares the accountants of a scope with each other.
func Agree(s *Scope, key string) error {
	for i := range s.Charges {
		s.Charges[i].key = key
	}
	return agree(s)
}
