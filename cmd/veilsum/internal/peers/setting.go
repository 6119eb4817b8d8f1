package peers

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Setting is one mechanism as a file sets it.
type Setting struct {
	// Framework is "flower" or "nvflare", Mechanism the name of the class, Where its place in the file.
	Framework, Mechanism, Where string
	// Arguments are those stated, and the defaults of those that are not.
	Arguments map[string]any
	// Claim is what the file promises for one round; nil if it promises nothing.
	Claim *Claim
	// Rounds as the file states them; 0 if it does not.
	Rounds int64
	// Ignored are keys of the same table that belong to the app.
	Ignored []string
	notes   []string
	noise   noise
}

// Claim is an (epsilon, delta) that somebody relies on.
type Claim struct {
	Epsilon float64 `json:"epsilon"`
	Delta   float64 `json:"delta"`
}

// noise is what a setting really does in one round.
type noise struct {
	kind noiseKind
	// Gaussian: the noise multipliers to zeroing and to replacing one update, the
	// latter over twice the bound, as the accountant has it.
	zero, replace float64
	// sparse vector technique
	selection, threshold, fraction, perValue, release float64 // threshold, release 0: derived

	clip    float64 // bound of one update (of one value)
	clients int     // 0: each client adds all of the noise itself
}

type noiseKind int

const (
	none noiseKind = iota
	gaussian
	sparseVector
)

// Parse finds the mechanisms that a file sets, at least one. The error wraps [ErrSetting].
func Parse(data []byte) ([]Setting, error) {
	v, err := decode(data)
	if err != nil {
		return nil, err
	}
	top, ok := v.(map[string]any)
	if !ok {
		return nil, refuse("want an object of settings")
	}
	switch {
	case top["task_result_filters"] != nil || top["task_data_filters"] != nil || top["scopes"] != nil:
		return parseFLARE(top)
	case top["name"] != nil || top["path"] != nil:
		return parseComponent(top)
	}
	for name := range top {
		if _, known := flowerClasses[name]; known {
			return parseClasses(top)
		}
		if _, known := flareFilters[name]; known {
			return parseClasses(top)
		}
	}
	return parseFlat(top)
}

// parseClasses reads {"LocalDpMod": {…}, "rounds": 3}.
func parseClasses(top map[string]any) ([]Setting, error) {
	rounds, err := takeRounds(top)
	if err != nil {
		return nil, err
	}
	var all []Setting
	for _, name := range slices.Sorted(maps.Keys(top)) {
		args, ok := top[name].(map[string]any)
		if !ok {
			return nil, refuse("%.64q: want an object of arguments, of one of %s", name, known())
		}
		s, err := ofClass(name, args)
		if err != nil {
			return nil, err
		}
		s.Where, s.Rounds = name, rounds
		all = append(all, s)
	}
	return all, nil
}

// parseComponent reads {"path": "…LocalDpMod", "args": {…}, "rounds": 3}.
func parseComponent(top map[string]any) ([]Setting, error) {
	rounds, err := takeRounds(top)
	if err != nil {
		return nil, err
	}
	name, args, err := component(top, "the object")
	if err != nil {
		return nil, err
	}
	s, err := ofClass(name, args)
	s.Where, s.Rounds = name, rounds
	return []Setting{s}, err
}

func ofClass(name string, args map[string]any) (Setting, error) {
	if build, ok := flowerClasses[name]; ok {
		return build(name, args)
	}
	if build, ok := flareFilters[name]; ok {
		return build(name, args)
	}
	return Setting{}, refuse("%.64q is no mechanism that is known here: %s", name, known())
}

func known() string {
	names := slices.Concat(slices.Collect(maps.Keys(flowerClasses)), slices.Collect(maps.Keys(flareFilters)))
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// component reads name or path, and args; nothing else may stand beside them.
func component(m map[string]any, where string) (string, map[string]any, error) {
	for k := range m {
		if !slices.Contains([]string{"name", "path", "args", "id"}, k) {
			return "", nil, refuse("%s: %.64q: only name or path, and args are read", where, k)
		}
	}
	if m["name"] != nil && m["path"] != nil {
		return "", nil, refuse("%s: name and path: give one", where)
	}
	name, ok := m["name"].(string)
	if path, isPath := m["path"].(string); isPath {
		name, ok = path[strings.LastIndex(path, ".")+1:], true
	}
	if !ok || name == "" {
		return "", nil, refuse("%s: name or path is no name of a class", where)
	}
	switch args := m["args"].(type) {
	case nil:
		return name, map[string]any{}, nil
	case map[string]any:
		return name, args, nil
	}
	return "", nil, refuse("%s: args of %.64q: want an object", where, name)
}

// roundNames are how files say the number of rounds.
var roundNames = []string{"rounds", "num_rounds", "num_server_rounds", "num-server-rounds", "num-rounds"}

// takeRounds removes the number of rounds from the map.
func takeRounds(m map[string]any) (int64, error) {
	var found []string
	var rounds int64
	for _, name := range roundNames {
		v, ok := m[name]
		if !ok {
			continue
		}
		f, isNumber := v.(float64)
		if !isNumber || f != math.Trunc(f) || f < 1 || f > MaxRounds {
			return 0, refuse("%s is %v: want a whole number from 1 to %d", name, v, int64(MaxRounds))
		}
		found, rounds = append(found, name), int64(f)
		delete(m, name)
	}
	if len(found) > 1 {
		return 0, refuse("%s: give the rounds once", strings.Join(found, " and "))
	}
	return rounds, nil
}

// MaxRounds is the most rounds that are judged.
const MaxRounds = 1 << 32

// arguments reads typed arguments out of a map and remembers what it has read.
type arguments struct {
	class string
	from  map[string]any
	out   map[string]any
	err   error
}

func readArguments(class string, from map[string]any) *arguments {
	return &arguments{class: class, from: from, out: map[string]any{}}
}

// number reads a finite number; without a default it must be there. want says the range in words.
func (a *arguments) number(name, want string, fallback *float64, good func(float64) bool) float64 {
	v, ok := a.from[name]
	if (!ok || v == nil) && fallback != nil {
		a.out[name] = *fallback
		return *fallback
	}
	f, isNumber := v.(float64)
	switch {
	case a.err != nil:
	case !ok:
		a.err = refuse("%s: %s is absent: want %s", a.class, name, want)
	case !isNumber || !good(f):
		a.err = refuse("%s: %s is %s: want %s", a.class, name, short(v), want)
	default:
		a.out[name] = f
	}
	return f
}

// optional reads a number that may be absent or null.
func (a *arguments) optional(name, want string, good func(float64) bool) (float64, bool) {
	if v, ok := a.from[name]; !ok || v == nil {
		return 0, false
	}
	return a.number(name, want, nil, good), true
}

func (a *arguments) boolean(name string, fallback bool) bool {
	v, ok := a.from[name]
	if !ok {
		a.out[name] = fallback
		return fallback
	}
	b, isBool := v.(bool)
	if !isBool && a.err == nil {
		a.err = refuse("%s: %s is %s: want true or false", a.class, name, short(v))
	}
	a.out[name] = b
	return b
}

// done refuses arguments that nobody has read.
func (a *arguments) done(also ...string) error {
	if a.err != nil {
		return a.err
	}
	for _, name := range slices.Sorted(maps.Keys(a.from)) {
		if _, read := a.out[name]; !read && a.from[name] != nil && !slices.Contains(also, name) {
			return refuse("%s: %.64q is no argument that is known here", a.class, name)
		}
	}
	return nil
}

func short(v any) string {
	text := fmt.Sprintf("%v", v)
	if s, ok := v.(string); ok {
		text = fmt.Sprintf("the text %q", s)
	}
	if len(text) > 64 {
		text = text[:64] + "…"
	}
	return text
}

func above(low float64) func(float64) bool { return func(f float64) bool { return f > low } }

func from(low float64) func(float64) bool { return func(f float64) bool { return f >= low } }

func within(low, high float64) func(float64) bool {
	return func(f float64) bool { return f > low && f < high }
}

// norm is the range of clipping norms that Veilsum has too.
func norm(f float64) bool { return f >= 1e-30 && f <= 1e30 }

func whole(low, high float64) func(float64) bool {
	return func(f float64) bool { return f == math.Trunc(f) && f >= low && f <= high }
}

func ptr(f float64) *float64 { return &f }
