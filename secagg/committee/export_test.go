package committee

// KeyInMemory reports whether a record still holds a key, whatever its state.
func KeyInMemory(r Record) bool { return r.c != nil && r.c.key.Suite() != 0 }
