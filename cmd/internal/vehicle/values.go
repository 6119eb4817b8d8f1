package vehicle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/privacy/statistics"
)

// answer makes the vector that a task of statistics asks for.
func (s *session) answer(ctx context.Context, x Sealing) ([]float32, error) {
	switch {
	case s.plan.Statistics == nil:
		return nil, &exit.Usage{Err: errors.New("--values is for a task of statistics, and this one trains a model"), Hint: "give the update by --update"}
	case x.Values == "" || x.Update != "" || len(x.Parts) > 0:
		return nil, &exit.Usage{Err: errors.New("the task asks for statistics: give the local records by --values, and no update"), Hint: `"veilsum stats show" tells what it asks`}
	}
	records, err := s.records(ctx, x.Values)
	if err != nil {
		return nil, err
	}
	u, err := client.Answer(s.plan, records)
	return u.Values, err
}

// maxValues bounds a file of records.
const maxValues = 64 << 20

func (s *session) records(ctx context.Context, path string) ([]statistics.Record, error) {
	if path == "-" {
		return ReadRecords(s.Stdin)
	}
	if known := strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".ndjson"); !known {
		if s.ReadValues == nil {
			return nil, &exit.Usage{Err: fmt.Errorf("--values %s: this program reads .json, .jsonl and .ndjson", path), Hint: "\"veilsum client seal\" also reads .csv and .arrow"}
		}
		return s.ReadValues(ctx, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadRecords(f)
}

// ReadRecords reads JSON objects, in one array or one after the other; a null is an absent
// value. Errors wrap [statistics.ErrValue] and quote nothing of what was read.
func ReadRecords(r io.Reader) ([]statistics.Record, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxValues+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxValues {
		return nil, fmt.Errorf("%w: more than %d bytes", statistics.ErrValue, maxValues)
	}
	var all []statistics.Record
	if trimmed := bytes.TrimSpace(raw); bytes.HasPrefix(trimmed, []byte("[")) {
		if json.Unmarshal(trimmed, &all) != nil {
			return nil, fmt.Errorf("%w: want an array of JSON objects", statistics.ErrValue)
		}
	} else {
		for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
			var one statistics.Record
			err := dec.Decode(&one)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%w: record %d is no JSON object", statistics.ErrValue, len(all))
			}
			all = append(all, one)
		}
	}
	for i, one := range all {
		if one == nil {
			return nil, fmt.Errorf("%w: record %d is null", statistics.ErrValue, i)
		}
		for k, v := range one {
			if v == nil {
				delete(one, k)
			}
		}
	}
	return all, nil
}
