package peers

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	localDpMod     = "LocalDpMod"
	serverFixed    = "DifferentialPrivacyServerSideFixedClipping"
	clientFixed    = "DifferentialPrivacyClientSideFixedClipping"
	serverAdaptive = "DifferentialPrivacyServerSideAdaptiveClipping"
	clientAdaptive = "DifferentialPrivacyClientSideAdaptiveClipping"
	disabled       = "none (dp-enabled = false)"
)

type builder func(class string, args map[string]any) (Setting, error)

var flowerClasses = map[string]builder{
	localDpMod: localDP, serverFixed: fixedClipping, clientFixed: fixedClipping, serverAdaptive: adaptiveClipping, clientAdaptive: adaptiveClipping,
}

// floatNoise is true of both frameworks.
const floatNoise = "the noise is drawn by numpy in floating point from a generator that is not cryptographic; the epsilon here is that of ideal noise"

// localDP is Gaussian noise on every client, by a formula that takes the sensitivity as an argument.
func localDP(class string, args map[string]any) (Setting, error) {
	a := readArguments(class, args)
	clip := a.number("clipping_norm", "a number from 1e-30 to 1e30", nil, norm)
	sensitivity := a.number("sensitivity", "0 or a number above", nil, from(0))
	epsilon := a.number("epsilon", "a number above 0", nil, above(0))
	delta := a.number("delta", "a number between 0 and 1", nil, within(0, 1))
	if err := a.done(); err != nil {
		return Setting{}, err
	}
	s := Setting{Framework: "flower", Mechanism: class, Arguments: a.out, Claim: &Claim{epsilon, delta}}
	stdDev := sensitivity * math.Sqrt(2*math.Log(1.25/delta)) / epsilon
	if math.IsInf(stdDev, 0) || stdDev/clip > maxMultiplier {
		return Setting{}, refuse("%s: sensitivity %g over epsilon %g is beyond any noise", class, sensitivity, epsilon)
	}
	s.Arguments["noise_std_dev"] = stdDev
	s.noise = noise{kind: gaussian, zero: stdDev / clip, replace: stdDev / clip, clip: clip}
	if sensitivity > 0 && sensitivity < clip {
		s.notes = append(s.notes, fmt.Sprintf("an update clipped to norm %g moves by %g when it is zeroed and by %g when it is replaced, but the noise is sized for sensitivity %g: %.4g times too small even for the former", clip, clip, 2*clip, sensitivity, clip/sensitivity))
	} else if sensitivity > 0 && sensitivity < 2*clip {
		s.notes = append(s.notes, fmt.Sprintf("sensitivity %g covers an update that is zeroed; one that is replaced moves by %g", sensitivity, 2*clip))
	}
	if epsilon > 1 {
		s.notes = append(s.notes, fmt.Sprintf("the formula sqrt(2 ln(1.25/delta))/epsilon is proved for epsilon up to 1 only, not for %g", epsilon))
	}
	s.notes = append(s.notes, "the claim is for one message; the messages of one client add up over rounds", floatNoise)
	return s, nil
}

// centralNotes are what the guarantee of noise on the mean rests on.
var centralNotes = []string{
	"holds only if every client has the same weight and exactly num_sampled_clients reply: the default weights by examples, and fewer replies are averaged under the same noise",
	"the server adds the noise: it sees every update, and no amplification by sampling is claimed",
	floatNoise,
}

func fixedClipping(class string, args map[string]any) (Setting, error) {
	a := readArguments(class, args)
	z := a.number("noise_multiplier", "0 or a number above", nil, from(0))
	clip := a.number("clipping_norm", "a number from 1e-30 to 1e30", nil, norm)
	clients := a.number("num_sampled_clients", "a whole number from 1", nil, whole(1, 1<<24))
	if err := a.done(); err != nil {
		return Setting{}, err
	}
	s := Setting{Framework: "flower", Mechanism: class, Arguments: a.out, notes: centralNotes}
	if z > maxMultiplier {
		return Setting{}, refuse("%s: noise_multiplier %g is beyond any noise", class, z)
	}
	s.Arguments["noise_std_dev_of_mean"] = z / clients * clip
	s.noise = noise{kind: gaussian, zero: z, replace: z, clip: clip, clients: int(clients)}
	return s, nil
}

// adaptiveClipping splits the noise multiplier as if a client moved the count of clipped updates by 1/2.
// It is counted as 0 or 1, so a client moves it by 1 when zeroed as when replaced.
func adaptiveClipping(class string, args map[string]any) (Setting, error) {
	a := readArguments(class, args)
	z := a.number("noise_multiplier", "0 or a number above", nil, from(0))
	clients := a.number("num_sampled_clients", "a whole number from 1", nil, whole(1, 1<<24))
	clip := a.number("initial_clipping_norm", "a number from 1e-30 to 1e30", ptr(0.1), norm)
	a.number("target_clipped_quantile", "a number from 0 to 1", ptr(0.5), func(f float64) bool { return f >= 0 && f <= 1 })
	a.number("clip_norm_lr", "a number above 0", ptr(0.2), above(0))
	count, given := a.optional("clipped_count_stddev", "0 or a number above", from(0))
	if err := a.done(); err != nil {
		return Setting{}, err
	}
	if !given {
		count = clients / 20
		a.out["clipped_count_stddev"] = count
	}
	s := Setting{Framework: "flower", Mechanism: class, Arguments: a.out, notes: centralNotes}
	s.noise = noise{kind: gaussian, clip: clip, clients: int(clients)}
	if z == 0 {
		return s, nil
	}
	if z >= 2*count {
		return Setting{}, refuse("%s: clipped_count_stddev is %g: want more than noise_multiplier/2 = %g, or the framework refuses it", class, count, z/2)
	}
	values := 1/(z*z) - 1/(4*count*count)
	s.noise.zero = 1 / math.Sqrt(values+1/(count*count))
	s.noise.replace = 2 / math.Sqrt(4*values+1/(count*count)) // over twice the bound
	s.notes = append([]string{fmt.Sprintf("each client moves the count of clipped updates by 1, not by the 1/2 that the split of the noise assumes: together they cost as a noise multiplier of %.6g when one update is zeroed", s.noise.zero)}, s.notes...)
	return s, nil
}

// flatNames are the arguments that say which mechanism a flat table means.
var flatNames = []string{
	"clipping_norm", "sensitivity", "epsilon", "delta", "noise_multiplier", "num_sampled_clients",
	"initial_clipping_norm", "target_clipped_quantile", "clip_norm_lr", "clipped_count_stddev", "enabled",
}

// suspicious are parts of names that must not be passed over.
var suspicious = []string{"dp", "clip", "noise", "eps", "delta", "sensitiv", "priva", "mechanism", "gauss", "laplace", "sigma"}

// parseFlat reads the configuration of a Flower app: names in kebab-case or snake_case, with
// or without "dp-". Names that have nothing to do with privacy are the app's.
func parseFlat(top map[string]any) ([]Setting, error) {
	rounds, err := takeRounds(top)
	if err != nil {
		return nil, err
	}
	args, ignored, err := sortFlat(top)
	if err != nil {
		return nil, err
	}
	if on, ok := args["enabled"]; ok {
		delete(args, "enabled")
		switch on {
		case false:
			return []Setting{{Framework: "flower", Mechanism: disabled, Where: "dp-enabled", Arguments: args, Rounds: rounds, Ignored: ignored, notes: []string{"the updates leave as they are"}}}, nil
		case true:
		default:
			return nil, refuse("dp-enabled is %s: want true or false", short(on))
		}
	}
	class, err := flatClass(args)
	if err != nil {
		return nil, err
	}
	s, err := ofClass(class, args)
	s.Where, s.Rounds, s.Ignored = "the table's keys", rounds, ignored
	return []Setting{s}, err
}

func sortFlat(top map[string]any) (args map[string]any, ignored []string, err error) {
	args = map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(top)) {
		name := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
		bare := strings.TrimPrefix(name, "dp_")
		switch {
		case slices.Contains(flatNames, bare) && (bare != "enabled" || bare != name):
			if _, twice := args[bare]; twice {
				return nil, nil, refuse("%s is given twice, once as %.64q", bare, key)
			}
			args[bare] = top[key]
		case slices.ContainsFunc(suspicious, func(part string) bool { return strings.Contains(name, part) }):
			return nil, nil, refuse("%.64q looks like a privacy setting but is none that is known here: %s", key, strings.Join(flatNames, ", "))
		default:
			switch top[key].(type) {
			case map[string]any, []any:
				return nil, nil, refuse("%.64q: neither a setting nor a mechanism that is known here: %s", key, known())
			}
			ignored = append(ignored, key)
		}
	}
	return args, ignored, nil
}

func flatClass(args map[string]any) (string, error) {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := args[n]; return ok })
	}
	local, central := has("sensitivity", "epsilon", "delta"), has("noise_multiplier", "num_sampled_clients")
	adaptive := has("initial_clipping_norm", "target_clipped_quantile", "clip_norm_lr", "clipped_count_stddev")
	switch {
	case local && (central || adaptive):
		return "", refuse("keys of %s and of a strategy of the server in one table: judge them apart", localDpMod)
	case local:
		return localDpMod, nil
	case adaptive:
		return serverAdaptive, nil
	case central:
		return serverFixed, nil
	}
	return "", refuse("no mechanism: want one of %s, its arguments as keys, or task_result_filters", known())
}
