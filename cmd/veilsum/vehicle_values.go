package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// readValues reads local records from a table: CSV or Arrow.
func readValues(ctx context.Context, path string) ([]statistics.Record, error) {
	if filepath.Ext(path) != ".csv" {
		rows, err := arrowchild.ReadRecords(ctx, path)
		if errors.Is(err, arrowipc.ErrFile) {
			err = &usageError{Err: err, Hint: "--values takes .json, .jsonl, .csv and .arrow"}
		}
		return toRecords(rows), err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readCSV(f)
}

func readCSV(r io.Reader) ([]statistics.Record, error) {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: no head line of CSV", statistics.ErrValue)
	}
	var rows []map[string]any
	for {
		line, err := c.Read()
		if errors.Is(err, io.EOF) {
			return toRecords(rows), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: row %d is no CSV with as many columns as the head line", statistics.ErrValue, len(rows)+1)
		}
		row := map[string]any{}
		for i, text := range line {
			if text != "" {
				row[head[i]] = cellValue(text)
			}
		}
		rows = append(rows, row)
	}
}

// cellValue reads a number or a truth value where there is one, else the text.
func cellValue(text string) any {
	if text == "true" || text == "false" {
		return text == "true"
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.Trim(text, "+-.0123456789eE") == "" {
		return f
	}
	return text
}

// classColumn begins the name of a column of probabilities.
const classColumn = "p:"

// toRecords gathers the columns of probabilities of each row.
func toRecords(rows []map[string]any) []statistics.Record {
	all := make([]statistics.Record, 0, len(rows))
	for _, row := range rows {
		r, p := statistics.Record{}, map[string]any{}
		for k, v := range row {
			if class, ok := strings.CutPrefix(k, classColumn); ok {
				p[class] = v
			} else {
				r[k] = v
			}
		}
		if len(p) > 0 {
			r[statistics.FieldProbabilities] = p
		}
		all = append(all, r)
	}
	return all
}
