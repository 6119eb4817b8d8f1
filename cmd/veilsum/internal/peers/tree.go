package peers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the largest file that is read.
const MaxBytes = 1 << 20

// maxDepth bounds how deep objects and lists may lie in each other.
const maxDepth = 32

// ErrSetting reports a file that is not understood. The message names the field and the cure.
var ErrSetting = errors.New("peers: not understood")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSetting, fmt.Sprintf(format, args...))
}

// decode reads JSON, YAML or TOML into maps, lists, float64, string, bool and nil. A
// field given twice is refused in all three: which one counts depends on the reader.
func decode(data []byte) (any, error) {
	if len(data) > MaxBytes {
		return nil, refuse("the file has more than %d bytes", MaxBytes)
	}
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")):
		return decodeJSON(data)
	case looksLikeTOML(data):
		return decodeTOML(data)
	}
	return decodeYAML(data)
}

func decodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse("JSON: data behind the object")
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, refuse("JSON: %v", err)
	}
	if depth > maxDepth {
		return nil, refuse("JSON: deeper than %d", maxDepth)
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return jsonObject(d, depth)
		}
		return jsonList(d, depth)
	case json.Number:
		return number(t.String())
	}
	return t, nil
}

func jsonObject(d *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, refuse("JSON: %v", err)
		}
		name, _ := key.(string) // the decoder lets nothing else stand here
		if _, twice := m[name]; twice {
			return nil, refuse("%.64q is given twice", name)
		}
		if m[name], err = jsonValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	if err != nil {
		return nil, refuse("JSON: %v", err)
	}
	return m, nil
}

func jsonList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, refuse("JSON: %v", err)
	}
	return list, nil
}

func number(text string) (any, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, refuse("%.64q is no finite number", text)
	}
	return f, nil
}

func decodeYAML(data []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var n yaml.Node
	if err := d.Decode(&n); err != nil {
		return nil, refuse("YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, refuse("YAML: more than one document")
	}
	return yamlValue(&n, 0)
}

// yamlValue refuses what makes one text another: aliases, merged keys, tags of its own.
func yamlValue(n *yaml.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, refuse("YAML: deeper than %d", maxDepth)
	}
	switch {
	case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
		return yamlValue(n.Content[0], depth)
	case n.Kind == yaml.MappingNode:
		return yamlMap(n, depth)
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			v, err := yamlValue(c, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case n.Kind == yaml.ScalarNode:
		return yamlScalar(n)
	}
	return nil, refuse("YAML line %d: no plain value", n.Line)
}

func yamlMap(n *yaml.Node, depth int) (any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return nil, refuse("YAML line %d: the key is no plain word", key.Line)
		}
		if _, twice := m[key.Value]; twice {
			return nil, refuse("YAML line %d: %.64q is given twice", key.Line, key.Value)
		}
		v, err := yamlValue(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		m[key.Value] = v
	}
	return m, nil
}

func yamlScalar(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!str":
		return n.Value, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, refuse("YAML line %d: %v", n.Line, err)
		}
		return b, nil
	case "!!int", "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, refuse("YAML line %d: %.64q is no finite number", n.Line, n.Value)
		}
		return f, nil
	}
	return nil, refuse("YAML line %d: a value of type %.32q", n.Line, n.Tag)
}

var (
	tomlTable = regexp.MustCompile(`^\[([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\]\s*(?:#.*)?$`)
	tomlPair  = regexp.MustCompile(`^("?)([A-Za-z0-9_-]+)("?)\s*=\s*(.*)$`)
	tomlValue = regexp.MustCompile(`^(?:(true|false)|"([^"\\]*)"|'([^']*)'|([+-]?[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][+-]?[0-9]+)?))\s*(?:#.*)?$`)
)

func looksLikeTOML(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return tomlTable.MatchString(line) || tomlPair.MatchString(line)
		}
	}
	return false
}

// flowerTable is where a Flower app keeps its configuration in pyproject.toml.
const flowerTable = "tool.flwr.app.config"

// decodeTOML reads the small part of TOML that settings are written in: simple values at the top or in
// the table of a Flower app. Other tables are passed over unread.
func decodeTOML(data []byte) (any, error) {
	text := string(data)
	if strings.Contains(text, `"""`) || strings.Contains(text, "'''") {
		return nil, refuse("TOML: strings of several lines are not read; pass only the table [%s]", flowerTable)
	}
	m, in := map[string]any{}, ""
	seen := map[string]bool{}
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if t := tomlTable.FindStringSubmatch(line); t != nil {
			if in = t[1]; in == flowerTable && seen[in] {
				return nil, refuse("TOML line %d: a second table [%s]", number+1, in)
			}
			seen[in] = true
			continue
		}
		if in == "" || in == flowerTable {
			if err := tomlInto(m, line, number+1); err != nil {
				return nil, err
			}
		} else if strings.HasPrefix(in, flowerTable+".") {
			return nil, refuse("TOML line %d: a table inside [%s]", number+1, flowerTable)
		}
	}
	return m, nil
}

func tomlInto(m map[string]any, line string, number int) error {
	pair := tomlPair.FindStringSubmatch(line)
	if pair == nil || pair[1] != pair[3] {
		return refuse("TOML line %d: want name = value", number)
	}
	if _, twice := m[pair[2]]; twice {
		return refuse("TOML line %d: %.64q is given twice", number, pair[2])
	}
	v := tomlValue.FindStringSubmatch(pair[4])
	switch {
	case v == nil:
		return refuse("TOML line %d: %.64q is no number, true, false or string of one line", number, pair[2])
	case v[1] != "":
		m[pair[2]] = v[1] == "true"
	case v[4] != "":
		f, err := strconv.ParseFloat(strings.ReplaceAll(v[4], "_", ""), 64)
		if err != nil || math.IsInf(f, 0) {
			return refuse("TOML line %d: %.64q is no finite number", number, v[4])
		}
		m[pair[2]] = f
	default:
		m[pair[2]] = v[2] + v[3]
	}
	return nil
}
