package peers

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

const (
	svtPrivacy        = "SVTPrivacy"
	percentilePrivacy = "PercentilePrivacy"
)

var flareFilters = map[string]builder{svtPrivacy: sparse, percentilePrivacy: percentile}

// harmless are filters that neither protect an update nor take a protection away.
var harmless = []string{"ExcludeVars", "AddNoiseToMinMax", "StatisticsPrivacyFilter"}

// flareSections are the parts of a job's configuration that set no filter of results.
var flareSections = []string{
	"format_version", "executors", "handlers", "components", "task_data_filters", "workflows", "server", "servers", "client", "clients", "exec", "default_scope",
}

// parseFLARE reads config_fed_client.json, or a site's privacy.json with scopes.
func parseFLARE(top map[string]any) ([]Setting, error) {
	rounds, err := flareRounds(top)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if name != "task_result_filters" && name != "scopes" && !slices.Contains(flareSections, name) {
			return nil, refuse("%.64q is no section that is known here: %v", name, flareSections)
		}
	}
	all, err := filterChains(top["task_result_filters"], "task_result_filters")
	if err != nil {
		return nil, err
	}
	scopes, ok := top["scopes"].([]any)
	if !ok && top["scopes"] != nil {
		return nil, refuse("scopes: want a list")
	}
	for i, s := range scopes {
		scope, ok := s.(map[string]any)
		name, named := scope["name"].(string)
		if !ok || !named {
			return nil, refuse("scopes[%d]: want an object with a name", i)
		}
		for k := range scope {
			if !slices.Contains([]string{"name", "properties", "task_result_filters", "task_data_filters"}, k) {
				return nil, refuse("scope %.64q: %.64q is not known here", name, k)
			}
		}
		more, err := filterChains(scope["task_result_filters"], fmt.Sprintf("scope %.64q", name))
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return nil, refuse("no filter of results protects anything: want %s among task_result_filters", known())
	}
	for i := range all {
		all[i].Rounds = rounds
	}
	return all, nil
}

// flareRounds takes the number of rounds from the file or its workflow.
func flareRounds(top map[string]any) (int64, error) {
	rounds, err := takeRounds(top)
	if err != nil {
		return 0, err
	}
	flows, _ := top["workflows"].([]any)
	for _, f := range flows {
		flow, _ := f.(map[string]any)
		args, _ := flow["args"].(map[string]any)
		n, err := takeRounds(args)
		if err != nil {
			return 0, err
		}
		if n > 0 && rounds > 0 {
			return 0, refuse("several numbers of rounds: pass --rounds with one workflow")
		}
		rounds = max(rounds, n)
	}
	return rounds, nil
}

// filterChains reads [{"tasks": […], "filters": [{…}]}] of a job, or [{…}] of a scope.
func filterChains(v any, where string) ([]Setting, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, refuse("%s: want a list", where)
	}
	var all []Setting
	var flat []any
	for i, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			return nil, refuse("%s[%d]: want an object", where, i)
		}
		if _, grouped := m["filters"]; !grouped {
			flat = append(flat, x)
			continue
		}
		for k := range m {
			if k != "tasks" && k != "filters" && k != "direction" {
				return nil, refuse("%s[%d]: %.64q: only tasks and filters are read", where, i, k)
			}
		}
		filters, ok := m["filters"].([]any)
		if !ok {
			return nil, refuse("%s[%d]: filters: want a list", where, i)
		}
		s, err := chain(filters, fmt.Sprintf("%s[%d], tasks %s", where, i, short(m["tasks"])))
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	s, err := chain(flat, where)
	return append(all, s...), err
}

// chain judges filters that one result passes in turn: what comes before the noise changes the client's own
// update, what comes after it only what is public already.
func chain(filters []any, where string) ([]Setting, error) {
	var found []Setting
	for i, f := range filters {
		m, ok := f.(map[string]any)
		if !ok {
			return nil, refuse("%s: filter %d: want an object", where, i)
		}
		at := map[string]any{}
		maps.Copy(at, m)
		delete(at, "direction")
		name, args, err := component(at, fmt.Sprintf("%s: filter %d", where, i))
		if err != nil {
			return nil, err
		}
		if slices.Contains(harmless, name) {
			continue
		}
		build, ok := flareFilters[name]
		if !ok {
			return nil, refuse("%s: %.64q is no filter that is known here: %s, %s, or one of %v", where, name, svtPrivacy, percentilePrivacy, harmless)
		}
		s, err := build(name, args)
		if err != nil {
			return nil, err
		}
		s.Where = where
		found = append(found, s)
	}
	noisy := slices.DeleteFunc(slices.Clone(found), func(s Setting) bool { return s.noise.kind == none })
	switch {
	case len(noisy) > 1:
		return nil, refuse("%s: %s and %s in one chain: judge them apart", where, noisy[0].Mechanism, noisy[1].Mechanism)
	case len(noisy) == 1 && len(found) > 1:
		noisy[0].notes = append(noisy[0].notes, "the other filters of the chain add no protection")
		return noisy, nil
	case len(noisy) == 0 && len(found) > 1:
		return found[:1], nil
	}
	return found, nil
}

// sparse is the sparse vector technique with a release of the values it selects.
func sparse(class string, args map[string]any) (Setting, error) {
	a := readArguments(class, args)
	fraction := a.number("fraction", "a number above 0 and at most 1", ptr(0.1), func(f float64) bool { return f > 0 && f <= 1 })
	epsilon := a.number("epsilon", "a number above 0", ptr(0.1), above(0))
	perValue := a.number("noise_var", "a number above 0", ptr(0.1), above(0))
	gamma := a.number("gamma", "a number above 0", ptr(1e-5), above(0))
	a.number("tau", "a number", ptr(1e-6), func(float64) bool { return true })
	a.boolean("replace", true)
	threshold, byThreshold := a.optional("epsilon_threshold", "a number above 0", above(0))
	query, byQuery := a.optional("epsilon_query", "a number above 0", above(0))
	release, byRelease := a.optional("epsilon_release", "a number above 0", above(0))
	if err := a.done("data_kinds"); err != nil {
		return Setting{}, err
	}
	some, err := dataKinds(class, args["data_kinds"])
	if err != nil {
		return Setting{}, err
	}
	if threshold >= epsilon || query >= epsilon || byThreshold && byQuery && math.Abs(threshold+query-epsilon) > 1e-8+1e-5*epsilon {
		return Setting{}, refuse("%s: epsilon_threshold and epsilon_query must add up to epsilon %g, or the framework refuses them", class, epsilon)
	}
	s := Setting{Framework: "nvflare", Mechanism: class, Arguments: a.out, Claim: &Claim{Epsilon: epsilon}}
	if byRelease {
		s.Claim.Epsilon += release
	}
	if !byThreshold && byQuery {
		threshold = epsilon - query
	}
	s.noise = noise{kind: sparseVector, selection: epsilon, threshold: threshold, fraction: fraction, perValue: perValue, release: release, clip: gamma}
	s.notes = []string{
		"the claim is for one message; the messages of one client add up over rounds",
		"values that are no arrays pass without noise, and are not in this epsilon", floatNoise,
	}
	if some {
		s.notes = append(s.notes, "data of a kind that data_kinds leaves out pass without noise")
	}
	return s, nil
}

// dataKinds tells whether the filter is told to leave a kind of data alone.
func dataKinds(class string, v any) (some bool, err error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return false, refuse("%s: data_kinds: want a list", class)
	}
	for _, kind := range list {
		if kind != "WEIGHTS" && kind != "WEIGHT_DIFF" {
			return false, refuse("%s: data_kinds has %s: want WEIGHTS or WEIGHT_DIFF", class, short(kind))
		}
	}
	return len(list) == 1, nil
}

// percentile keeps the largest values and adds nothing.
func percentile(class string, args map[string]any) (Setting, error) {
	a := readArguments(class, args)
	a.number("percentile", "a number from 0 to 100", ptr(10), func(f float64) bool { return f >= 0 && f <= 100 })
	a.number("gamma", "a number above 0", ptr(0.01), above(0))
	if err := a.done("data_kinds"); err != nil {
		return Setting{}, err
	}
	if _, err := dataKinds(class, args["data_kinds"]); err != nil {
		return Setting{}, err
	}
	return Setting{
		Framework: "nvflare", Mechanism: class, Arguments: a.out,
		notes: []string{"small values become zero and large ones are cut, but no noise is added: two updates that differ in one kept value are told apart with certainty"},
	}, nil
}
