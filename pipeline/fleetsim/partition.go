package fleetsim

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Partition says how training rows become vehicles. No partition but ByDraw gives one row to
// two vehicles; neighboring windows of a recording do overlap by half, so at a seam
// two vehicles saw the same second of movement.
type Partition int

const (
	// ByOwner cuts all recordings of one owner (a person's wrist) into Slices equal
	// parts of time; a vehicle holds the same part of each: one owner, all classes.
	ByOwner Partition = iota
	// ByRecording cuts each recording into Slices parts: one owner and one class a
	// vehicle, the most unlike vehicles this data can give.
	ByRecording
	// ByShards sorts the rows by class, cuts 4*Slices shards and deals four at random
	// (seeded) to each of Slices vehicles: at most about four classes a vehicle.
	ByShards
	// ByDraw gives each of Slices vehicles four training rows drawn with replacement (seeded), so that a small data set
	// makes a large fleet. Two vehicles may hold the same row: the accuracy is honest, a privacy unit is a vehicle as ever.
	ByDraw
)

const shardsPerVehicle = 4

// String returns the partition's name.
func (p Partition) String() string {
	switch p {
	case ByOwner:
		return "by owner"
	case ByRecording:
		return "by recording"
	case ByShards:
		return "by shards"
	case ByDraw:
		return "by draw"
	}
	return fmt.Sprintf("partition(%d)", int(p))
}

// cut returns the rows of each vehicle; no vehicle is empty.
func (c Config) cut(data *Dataset) ([][]int, error) {
	train, _ := data.split()
	var sources [][][]int // of each owner, or recording, the recordings to cut
	switch {
	case c.Partition == ByOwner && data.Owner != nil && data.Recording != nil:
		for _, rows := range groups(train, data.Owner) {
			sources = append(sources, groups(rows, data.Recording))
		}
	case c.Partition == ByRecording && data.Recording != nil:
		for _, rows := range groups(train, data.Recording) {
			sources = append(sources, [][]int{rows})
		}
	case c.Partition == ByShards:
		return notEmpty(deal(train, data.Labels, c.parts(0, 1))), nil
	case c.Partition == ByDraw:
		return draw(train, c.parts(0, 1)), nil
	default:
		return nil, fmt.Errorf("%w: partition %v does not suit this data set", ErrConfig, c.Partition)
	}
	if c.Vehicles != 0 && c.Vehicles < len(sources) {
		return nil, fmt.Errorf("%w: %d vehicles, but the data has %d sources and each is at least one", ErrConfig, c.Vehicles, len(sources))
	}
	var vehicles [][]int
	for i, recordings := range sources {
		vehicles = append(vehicles, interleave(recordings, c.parts(i, len(sources)))...)
	}
	return notEmpty(vehicles), nil
}

// parts returns into how many vehicles a source is cut.
func (c Config) parts(source, sources int) int {
	if c.Vehicles == 0 {
		return c.Slices
	}
	n := c.Vehicles / sources
	if source < c.Vehicles%sources {
		n++
	}
	return n
}

func notEmpty(vehicles [][]int) [][]int {
	return slices.DeleteFunc(vehicles, func(rows []int) bool { return len(rows) == 0 })
}

// groups collects rows by their key, groups in the order of the keys.
func groups(rows, key []int) [][]int {
	byKey := map[int][]int{}
	var keys []int
	for _, r := range rows {
		if _, seen := byKey[key[r]]; !seen {
			keys = append(keys, key[r])
		}
		byKey[key[r]] = append(byKey[key[r]], r)
	}
	slices.Sort(keys)
	out := make([][]int, 0, len(keys))
	for _, k := range keys {
		out = append(out, byKey[k])
	}
	return out
}

// interleave cuts each recording into equal parts and joins the parts of one number.
func interleave(recordings [][]int, parts int) [][]int {
	out := make([][]int, parts)
	for _, rows := range recordings {
		for part := range out {
			from, to := part*len(rows)/parts, (part+1)*len(rows)/parts
			out[part] = append(out[part], rows[from:to]...)
		}
	}
	return out
}

// deal gives each vehicle four random shards of the rows sorted by class. The seed is
// fixed: who holds what is a property of the fleet, not of a run.
func deal(rows, labels []int, vehicles int) [][]int {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b int) int { return labels[a] - labels[b] })
	shards := interleave([][]int{sorted}, vehicles*shardsPerVehicle)
	order := rand.New(rand.NewPCG(1, 0)).Perm(len(shards))
	out := make([][]int, vehicles)
	for i, shard := range order {
		out[i/shardsPerVehicle] = append(out[i/shardsPerVehicle], shards[shard]...)
	}
	return out
}

// draw gives each vehicle rows of its own choice. The seed is fixed, as in deal.
func draw(rows []int, vehicles int) [][]int {
	random, out := rand.New(rand.NewPCG(3, 0)), make([][]int, vehicles)
	for i := range out {
		for range shardsPerVehicle {
			out[i] = append(out[i], rows[random.IntN(len(rows))])
		}
	}
	return out
}
