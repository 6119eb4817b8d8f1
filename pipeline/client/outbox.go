package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// An outbox file holds one finished report: all pieces in order, the header
// object, and the header object's length as u64. It contains no secret.
const outboxDir = "outbox"

func outboxFile(id schema.RoundID) string { return outboxDir + "/" + id.String() + ".report" }

// Pending lists the outbox files that wait for [Client.Upload].
func (c *Client) Pending() ([]string, error) {
	names, err := c.state.Names(outboxDir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, n := range names {
		if strings.HasSuffix(n, ".report") {
			files = append(files, outboxDir+"/"+n)
		}
	}
	return files, nil
}

// Upload sends an outbox file: the pieces that the store lacks, then the header object,
// which commits the report. It may be interrupted anywhere and called again;
// it sends the same bytes. The file is removed once the store holds the report.
// progress, if not nil, is called with the bytes done and the bytes in all.
func (c *Client) Upload(ctx context.Context, s storage.Store, file string, progress func(done, total int64)) (schema.ReportID, error) {
	f, rep, pieces, err := c.openOutbox(file)
	if err != nil {
		return schema.ReportID{}, err
	}
	defer f.Close()
	if err := send(ctx, s, rep, io.NewSectionReader(f, 0, pieces), progress); err != nil {
		return rep.ID, err
	}
	return rep.ID, c.state.Remove(file)
}

// Discard removes the outbox files of rounds whose keys have expired; expired
// is asked with the round's name. A report that was discarded stays counted.
func (c *Client) Discard(expired func(pipeline.RoundName) bool) error {
	files, err := c.Pending()
	if err != nil {
		return err
	}
	for _, file := range files {
		f, rep, _, err := c.openOutbox(file)
		if err == nil {
			f.Close()
		} else if !errors.Is(err, schema.ErrFormat) {
			return err
		}
		if err != nil || expired(nameOf(rep.Header)) {
			if err := c.state.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// openOutbox opens a finished report; one that is damaged is schema.ErrFormat.
func (c *Client) openOutbox(file string) (*os.File, *schema.Report, int64, error) {
	f, err := os.Open(c.state.Path(file))
	if err != nil {
		return nil, nil, 0, fmt.Errorf("client: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, 0, fmt.Errorf("client: %w", err)
	}
	rep, pieces, err := readOutbox(f, info.Size())
	if err != nil {
		f.Close()
		return nil, nil, 0, fmt.Errorf("client: %s: %w", c.state.Path(file), err)
	}
	return f, rep, pieces, nil
}

func nameOf(h schema.Header) pipeline.RoundName {
	return pipeline.RoundName{Task: h.TaskID, Epoch: h.Epoch, Lane: h.Lane}
}

// readOutbox returns the report and the bytes of the pieces before it, which are not looked at.
func readOutbox(f io.ReaderAt, size int64) (*schema.Report, int64, error) {
	if size < 8 {
		return nil, 0, fmt.Errorf("%w: outbox file of %d bytes", schema.ErrFormat, size)
	}
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return nil, 0, err
	}
	n := int64(binary.LittleEndian.Uint64(tail[:]))
	if n < 0 || n > schema.MaxReportBytes || n+8 > size {
		return nil, 0, fmt.Errorf("%w: outbox file", schema.ErrFormat)
	}
	raw := make([]byte, n)
	pieces := size - 8 - n
	if _, err := f.ReadAt(raw, pieces); err != nil {
		return nil, 0, err
	}
	rep, err := schema.DecodeReport(raw)
	if err == nil && pieces != int64(rep.Header.Blocks())*int64(rep.Header.BlockBytes()) {
		err = fmt.Errorf("%w: outbox file: %d bytes of pieces", schema.ErrFormat, pieces)
	}
	return rep, pieces, err
}

func send(ctx context.Context, s storage.Store, rep *schema.Report, r io.Reader, progress func(done, total int64)) error {
	name := nameOf(rep.Header)
	have, err := stored(ctx, s, name, rep.ID)
	if err != nil {
		return err
	}
	total := int64(rep.Header.Blocks()*rep.Header.BlockBytes() + len(rep.Bytes()))
	buf, done := make([]byte, rep.Header.PieceBytes(0)), int64(0)
	for i := range rep.Header.Pieces() {
		piece := buf[:rep.Header.PieceBytes(i)]
		if _, err := io.ReadFull(r, piece); err != nil {
			return fmt.Errorf("client: outbox: %w", err)
		}
		key := pipeline.PieceKey(name, rep.ID, i)
		if have[key] != int64(len(piece)) {
			if _, err := s.PutOnce(ctx, key, piece); err != nil {
				return err
			}
		}
		done += int64(len(piece))
		if progress != nil {
			progress(done, total)
		}
	}
	_, err = s.PutOnce(ctx, pipeline.HeaderKey(name, rep.ID), rep.Bytes())
	return err
}

// stored asks which objects of the report are there. Their content is not
// compared, which would cost the bytes that resuming saves: who may write to the store and
// sees the first piece may plant another one of the right size, and the report is
// then refused, as if it had been deleted.
func stored(ctx context.Context, s storage.Store, n pipeline.RoundName, id schema.ReportID) (map[string]int64, error) {
	have := map[string]int64{}
	for info, err := range s.List(ctx, pipeline.ReportPrefix(n, id), "") {
		if err != nil {
			return nil, err
		}
		have[info.Key] = info.Size
	}
	return have, nil
}
