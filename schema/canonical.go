package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

var (
	errEnvelope  = errors.New(`want {"body":…,"signature":"128 hexadecimal digits"} and nothing else`)
	errCanonical = errors.New("not in canonical form: write objects with this package only")
	errNull      = errors.New("null: want a value, or [] for an empty list")
)

// marshal is the canonical form: encoding/json's compact form, fields in the
// order of the Go struct, without HTML escapes.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	if err := encodeTo(&buf, v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func encodeTo(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// decodeCanonical decodes data into v and refuses every spelling but the one
// that marshal gives for v. Comparing with the encoded value refuses, in one
// stroke, repeated and case-folded names, null for a list, absent fields, other escapes
// and numerals, and invalid UTF-8.
func decodeCanonical(data []byte, v any, bytesPerComma int) error {
	if err := scan(data, bytesPerComma); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	same := comparer{want: data}
	if err := encodeTo(&same, v); err != nil {
		return err
	}
	if same.differs || string(same.want) != "" {
		return errCanonical
	}
	return nil
}

// comparer compares what is written with want, behind which one line feed may come.
type comparer struct {
	want    []byte
	differs bool
}

func (c *comparer) Write(p []byte) (int, error) {
	n := len(p)
	if n > len(c.want) {
		p = bytes.TrimSuffix(p, []byte("\n"))
	}
	rest, ok := bytes.CutPrefix(c.want, p)
	c.want, c.differs = rest, c.differs || !ok
	return n, nil
}

// scan refuses space between tokens, null, which no canonical object has, and
// more commas than canonical objects of this size have. Without it "{},{},…" would make the decoder allocate 16 times its
// input before any element is looked at.
func scan(data []byte, bytesPerComma int) error {
	commas, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			i++
		case inString:
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			return errCanonical
		case c == 'n':
			return errNull
		case c == ',':
			commas++
		}
	}
	if most := 64 + len(data)/bytesPerComma; commas > most {
		return fmt.Errorf("%d elements in %d bytes", commas, len(data))
	}
	return nil
}

// wrong wraps the error of a decoder. Objects of a later version may have any
// form: for them the version is the cause worth telling.
func wrong(object string, data []byte, err error) error {
	var v struct {
		Version int
		Body    struct{ Version int }
	}
	// Its error does not matter: what could be read is enough.
	if scan(data, 1) == nil && json.Unmarshal(data, &v) == nil && max(v.Version, v.Body.Version) > Version {
		return fmt.Errorf("%w: %s.version %d", ErrVersion, object, max(v.Version, v.Body.Version))
	}
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("%w (in %s)", err, object)
	}
	return fmt.Errorf("%w: %s: %s", ErrFormat, object, cut(err.Error()))
}

// field reports a field whose value is outside its range.
func field(object, name string, have any, want string) error {
	return fmt.Errorf("%w: %s.%s: %s: want %s", ErrFormat, object, name, cut(fmt.Sprint(have)), want)
}

// cut keeps a stranger's input from filling the log.
func cut(s string) string {
	if len(s) <= 160 {
		return s
	}
	return s[:160] + "…"
}

// version checks the version of a JSON object.
func version(object string, v int) error {
	if v != Version {
		return fmt.Errorf("%w: %s.version %d", ErrVersion, object, v)
	}
	return nil
}

// index checks a decryptor's index.
func index(object string, i int) error {
	if i < 0 || i >= MaxCommittee {
		return field(object, "index", i, "0 to 15")
	}
	return nil
}

// named is an identifier with its field's name.
type named struct {
	name string
	id   Digest
}

// present refuses zero identifiers: they name nothing.
func present(object string, ids ...named) error {
	for _, x := range ids {
		if x.id.IsZero() {
			return field(object, x.name, "zero", "the identifier of an object")
		}
	}
	return nil
}

// name checks a text of one line.
func name(object, what, s string) error {
	if len(s) < 1 || len(s) > 128 || !readable(s, "") {
		return field(object, what, fmt.Sprintf("%.20q", s), "1 to 128 bytes of UTF-8 without control characters")
	}
	return nil
}

// prose checks a text for people that may have several lines.
func prose(object, what, s string) error {
	if len(s) > 1024 || !readable(s, "\n") {
		return field(object, what, fmt.Sprintf("%.20q", s), "at most 1024 bytes of UTF-8 without control characters other than line feeds")
	}
	return nil
}

// readable refuses what would let a name forge the terminal of whoever prints
// it: invalid UTF-8, controls, line separators and the marks that turn the direction of writing.
func readable(s, except string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		control := unicode.IsControl(r) || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Bidi_Control, r)
		if control && string(r) != except {
			return false
		}
	}
	return true
}
