package keyring

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxSecret bounds a passphrase and an identity file.
const maxSecret = 16 << 10

// Source reads a secret once from a file, or from standard input if its name is
// "-", where a terminal asks for it without showing it. The zero value has none.
type Source struct {
	Path   string
	Stdin  io.Reader
	Prompt io.Writer // where a terminal is asked

	read  bool
	value []byte
	err   error
}

// Bytes returns the content; empty if there is no source.
func (s *Source) Bytes() ([]byte, error) {
	if s.Path == "" {
		return nil, nil
	}
	if !s.read {
		s.value, s.err = s.load()
		s.read = true
	}
	return s.value, s.err
}

// Line returns the content as one line without its end, such as a passphrase.
func (s *Source) Line() (string, error) {
	b, err := s.Bytes()
	if err != nil || s.Path == "" {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return "", fmt.Errorf("%w: want one line that is not empty in %s", ErrSecret, s.name())
	}
	return line, nil
}

func (s *Source) name() string {
	if s.Path == "-" {
		return "standard input"
	}
	return s.Path
}

func (s *Source) load() ([]byte, error) {
	if f, ok := s.Stdin.(*os.File); ok && s.Path == "-" && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.Prompt, "passphrase: ")
		defer fmt.Fprintln(s.Prompt)
		return term.ReadPassword(int(f.Fd()))
	}
	in := s.Stdin
	if s.Path != "-" {
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(in), maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%w: %s is longer than %d bytes", ErrSecret, s.name(), maxSecret)
	}
	return b, err
}
