package vehicle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/schema"
)

// Setup is what [Program.Init] is asked for.
type Setup struct {
	State string
	ID    string // the pseudonym, 32 hexadecimal digits; "" before the vehicle is enrolled
	Floor client.Floor
}

// Allow reads the names of the local values that statistics may ask for.
func (u *Setup) Allow(names string) error {
	u.Floor.Fields = []string{}
	for _, name := range strings.Split(names, ",") {
		if name = strings.TrimSpace(name); name != "" {
			u.Floor.Fields = append(u.Floor.Fields, name)
		}
	}
	return nil
}

// Init makes the vehicle's key if there is none and prints the public one; with
// an ID it writes the configuration.
func (p *Program) Init(u Setup) (int, error) {
	key, err := p.ownKey(u.State)
	if err != nil {
		return 0, err
	}
	if u.ID != "" {
		var id schema.VehicleID
		if err := id.UnmarshalText([]byte(u.ID)); err != nil {
			return 0, exit.Usagef("--id: %w", err)
		}
		if _, err := os.Stat(filepath.Join(u.State, ConfigFile)); err == nil {
			return 0, exit.WithHint(fmt.Errorf("the vehicle in %s has its pseudonym already", u.State), "a pseudonym is never renewed; another vehicle is another --state")
		}
		if err := WriteConfig(u.State, id, u.Floor); err != nil {
			return 0, err
		}
	}
	p.Out.Result(publicResult{key})
	return exit.Done, nil
}

func (p *Program) ownKey(dir string) (schema.PublicKey, error) {
	if dir == "" {
		return schema.PublicKey{}, exit.Usagef("--state is required: the vehicle's directory")
	}
	path := filepath.Join(dir, IdentityFile)
	if err := keyfile.MakeDir(dir); err != nil {
		return schema.PublicKey{}, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		key, err := p.NewKey(path)
		if err != nil {
			return schema.PublicKey{}, err
		}
		return schema.NewPublicKey(key), nil
	}
	key, err := p.ReadKey(path)
	if err != nil {
		return schema.PublicKey{}, err
	}
	return schema.NewPublicKey(key), nil
}

type publicResult struct {
	PublicKey schema.PublicKey `json:"public_key"`
}

// Text implements ui.Result.
func (r publicResult) Text() string { return r.PublicKey.String() + "\n" }
