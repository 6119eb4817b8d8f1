package arrowchild

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/veilsum/veilsum/schema/arrowipc"
)

const (
	// baseMemory is what a child may use beside copies of the file, in bytes.
	baseMemory = 512 << 20
	// copies are how many times the file's size a child may use: the file, its columns (larger, if it is compressed), the values.
	copies = 8
	// maxRequest bounds the request: paths and the tensors of a task.
	maxRequest = 8 << 20
)

// Main is the child: it answers the request of stdin on stdout.
func Main(stdin io.Reader, stdout io.Writer) error {
	var q request
	if err := json.NewDecoder(io.LimitReader(stdin, maxRequest)).Decode(&q); err != nil {
		return fmt.Errorf("%s: it is run by other commands: %w", Command, err)
	}
	if err := limit(q.Path); err != nil {
		return tell(stdout, failed(err), nil)
	}
	var a answer
	var values []float32
	var err error
	switch {
	case q.Records:
		a.Records, err = records(q.Path)
	case q.Tensors == nil:
		a.Tensors, err = arrowipc.ReadSchema(q.Path)
	default:
		values, err = arrowipc.ReadUpdate(q.Path, q.Tensors)
	}
	if a.Values = len(values); err != nil {
		a, values = failed(err), nil
	}
	return tell(stdout, a, values)
}

// records reads the rows of a table.
func records(path string) ([]map[string]any, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := arrowipc.ReadTable(raw)
	if err != nil {
		return nil, err
	}
	rows := make([]map[string]any, t.Rows)
	for i := range rows {
		rows[i] = map[string]any{}
	}
	for _, name := range t.Names {
		if texts, err := t.Strings(name); err == nil {
			for i, s := range texts {
				rows[i][name] = s
			}
			continue
		}
		values, width, err := t.Floats(name)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if width == 1 {
				rows[i][name] = values[i]
			} else {
				rows[i][name] = values[i*width : (i+1)*width]
			}
		}
	}
	return rows, nil
}

// failed is the answer that tells an error with what it wraps.
func failed(err error) answer {
	a := answer{Error: err.Error(), Mismatch: errors.Is(err, arrowipc.ErrMismatch), File: errors.Is(err, arrowipc.ErrFile)}
	errors.As(err, &a.Errno)
	return a
}

// limit bounds the memory of this process by the size of the file.
func limit(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return limitMemory(baseMemory + copies*uint64(info.Size()))
}

func tell(w io.Writer, a answer, values []float32) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b)))) // Flush tells the first error
	out.Write(b)
	var four [4]byte
	for _, v := range values {
		binary.LittleEndian.PutUint32(four[:], math.Float32bits(v))
		out.Write(four[:])
	}
	return out.Flush()
}
