package statistics

import (
	"strings"
	"unicode/utf8"
)

// A text is coded symbol by symbol: a symbol of the alphabet stands for itself, the end
// of the text is end, and a symbol outside of the alphabet is stray and ends the text.
const (
	end   = "\x00"
	stray = "\x01"
)

// code returns the first n symbols of s, fewer if it ends before: then with the mark of how.
func code(s, alphabet string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if n == 0 {
			return b.String()
		}
		if r == utf8.RuneError || !strings.ContainsRune(alphabet, r) {
			return b.String() + stray
		}
		b.WriteRune(r)
		n--
	}
	if n == 0 {
		return b.String()
	}
	return b.String() + end
}

// ended tells whether a code is that of a whole text.
func ended(c string) bool { return strings.HasSuffix(c, end) || strings.HasSuffix(c, stray) }

// shown is a code as people read it: a text that goes on ends in "*", what follows a stray symbol is "?".
func shown(c string, open bool) string {
	switch {
	case strings.HasSuffix(c, end):
		return strings.TrimSuffix(c, end)
	case strings.HasSuffix(c, stray):
		return strings.TrimSuffix(c, stray) + "?"
	case open:
		return c + "*"
	}
	return c
}

// suffixes is how many codes of up to n symbols extend an open one: alphabet symbols, or an end, or a stray.
func suffixes(alphabet, n int) int {
	total := 1
	for range n {
		if total = alphabet*total + 2; total > maxCells {
			return maxCells + 1
		}
	}
	return total
}

// extension is the place of a code in [extensions].
func extension(c, alphabet string, n int) int {
	place := 0
	for _, r := range c {
		switch string(r) {
		case end:
			return place
		case stray:
			return place + 1
		}
		n--
		place += 2 + utf8.RuneCountInString(alphabet[:strings.IndexRune(alphabet, r)])*suffixes(utf8.RuneCountInString(alphabet), n)
	}
	return place
}

// extensions lists these codes in a fixed order.
func extensions(alphabet string, n int) []string {
	if n == 0 {
		return []string{""}
	}
	list, rest := []string{end, stray}, extensions(alphabet, n-1)
	for _, r := range alphabet {
		for _, x := range rest {
			list = append(list, string(r)+x)
		}
	}
	return list
}

func (q *Query) validateAlphabet() error {
	seen := map[rune]bool{}
	for _, r := range q.Alphabet {
		if seen[r] || r < ' ' || r == utf8.RuneError {
			return q.need(false, "Alphabet", "with a repeated or a control character", "distinct symbols")
		}
		seen[r] = true
	}
	if err := q.need(len(seen) >= 1 && len(seen) <= 256, "Alphabet", len(seen), "1 to 256 symbols"); err != nil {
		return err
	}
	ok := q.Symbols >= 1 && q.Symbols <= maxText && suffixes(len(seen), q.Symbols) <= maxCells
	return q.need(ok, "Symbols", q.Symbols, "at least 1, and at most 2^20 ways to go on")
}

func (q *Query) validatePrefixes() error {
	seen, length := map[string]bool{}, -1
	for _, p := range q.Prefixes {
		n := utf8.RuneCountInString(p)
		if seen[p] || n > maxText || length >= 0 && n != length || ended(code(p, q.Alphabet, n)) {
			return q.need(false, "Prefixes", p, "distinct texts of one length over the alphabet")
		}
		seen[p], length = true, n
	}
	return q.need(len(seen) >= 1 && len(seen) <= maxKeys, "Prefixes", len(seen), `1 to 4096; [""] in the first round`)
}

// prefixLength is the number of symbols of each prefix.
func (q *Query) prefixLength() int { return utf8.RuneCountInString(q.Prefixes[0]) }

// endings lists the codes of the cells of [Prefixes] in order; one more cell is for all other texts.
func (q *Query) endings() []string {
	var list []string
	suffix := extensions(q.Alphabet, q.Symbols)
	for _, p := range q.Prefixes {
		for _, x := range suffix {
			list = append(list, p+x)
		}
	}
	return list
}
