package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// An outbox file holds one finished report: all pieces in order, the header
// object, and the header object's length as u64. It contains no secret.
const outboxDir = "outbox"

func outboxFile(id schema.RoundID) string { return outboxDir + "/" + id.String() + ".report" }

// Waiting is one file of the outbox.
type Waiting struct {
	File   string
	Report schema.ReportID
	Name   pipeline.RoundName
	Bytes  int64 // of all objects of the report
	// Damaged tells why the file cannot be sent, nil if it can. The fields but File and Bytes are empty then.
	Damaged error
}

// Outbox lists what waits for [Client.Upload], oldest epoch first. A report whose sealing was
// cut short before it was counted does not wait: it is never sent, and the vehicle may seal again.
func (c *Client) Outbox() ([]Waiting, error) {
	h, err := c.history()
	if err != nil {
		return nil, err
	}
	return outbox(c.state, h)
}

// Pending lists the names of the files of [Client.Outbox].
func (c *Client) Pending() ([]string, error) {
	all, err := c.Outbox()
	var files []string
	for _, w := range all {
		files = append(files, w.File)
	}
	return files, err
}

func outbox(d *state.Dir, h *history) ([]Waiting, error) {
	names, err := outboxNames(d)
	if err != nil {
		return nil, err
	}
	var all []Waiting
	for _, file := range names {
		w, x, err := look(d, file)
		if err != nil {
			return nil, err
		}
		if w.Damaged != nil || h.counts(x) { // a vehicle has few: to insert is enough
			i := slices.IndexFunc(all, func(o Waiting) bool { return o.Name.Epoch > w.Name.Epoch })
			if i < 0 {
				i = len(all)
			}
			all = slices.Insert(all, i, w)
		}
	}
	return all, nil
}

func outboxNames(d *state.Dir) ([]string, error) {
	names, err := d.Names(outboxDir)
	var files []string
	for _, n := range names {
		if strings.HasSuffix(n, ".report") {
			files = append(files, outboxDir+"/"+n)
		}
	}
	return files, err
}

// look reads the header of an outbox file.
func look(d *state.Dir, file string) (Waiting, schema.Header, error) {
	f, rep, pieces, err := openOutbox(d, file)
	if errors.Is(err, ErrDamaged) {
		w := Waiting{File: file, Damaged: err}
		if info, err := os.Stat(d.Path(file)); err == nil {
			w.Bytes = info.Size()
		}
		return w, schema.Header{}, nil
	}
	if err != nil {
		return Waiting{}, schema.Header{}, err
	}
	f.Close()
	return Waiting{File: file, Report: rep.ID, Name: nameOf(rep.Header), Bytes: pieces + int64(len(rep.Bytes()))}, rep.Header, nil
}

// clear removes the reports that were sealed but never counted.
func (c *Client) clear(h *history) error {
	names, err := outboxNames(c.state)
	if err != nil {
		return err
	}
	for _, file := range names {
		w, x, err := look(c.state, file)
		if err != nil {
			return err
		}
		if w.Damaged == nil && !h.counts(x) {
			if err := c.state.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// ErrDamaged: the outbox file is not what was sealed, and cannot be sent. It says nothing of the store: only
// this error is a reason to remove the file.
var ErrDamaged = errors.New("client: outbox file is damaged")

// ErrUncounted: the outbox file is what a sealing left that was cut short. It must not be sent.
var ErrUncounted = errors.New("client: report was never counted")

// Upload sends an outbox file: the pieces that the store lacks, then the header object,
// which commits the report. It may be interrupted anywhere and called again;
// it sends the same bytes. The file is removed once the store holds the report.
// A file whose bytes are not those that were sealed is [ErrDamaged], one that another key has signed
// pipeline.ErrUntrusted, and nothing is sent.
// progress, if not nil, is called with the bytes done and the bytes in all.
//
// Upload does not ask whether the round still takes the report; [Client.Deliver] does.
func (c *Client) Upload(ctx context.Context, s storage.Store, file string, progress func(done, total int64)) (schema.ReportID, error) {
	f, rep, pieces, err := c.openCounted(file)
	if err != nil {
		return schema.ReportID{}, err
	}
	defer f.Close()
	if err := send(ctx, s, rep, io.NewSectionReader(f, 0, pieces), progress); err != nil {
		return rep.ID, err
	}
	return rep.ID, c.state.Remove(file)
}

// openCounted opens a report that may be sent.
func (c *Client) openCounted(file string) (*os.File, *schema.Report, int64, error) {
	h, err := c.history()
	if err != nil {
		return nil, nil, 0, err
	}
	f, rep, pieces, err := openOutbox(c.state, file)
	if err != nil {
		return nil, nil, 0, err
	}
	if err := c.whole(rep, io.NewSectionReader(f, 0, pieces)); err != nil {
		f.Close()
		return nil, nil, 0, fmt.Errorf("%w: %s", err, c.state.Path(file))
	}
	if !h.counts(rep.Header) {
		f.Close()
		return nil, nil, 0, fmt.Errorf("%w: %s", ErrUncounted, c.state.Path(file))
	}
	return f, rep, pieces, nil
}

// whole checks the report as its readers will: a worn disk must not cost the
// link what everybody would refuse.
func (c *Client) whole(rep *schema.Report, r *io.SectionReader) error {
	if err := rep.VerifyBoxes(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	hashes, err := pieceHashes(rep, r)
	if err != nil {
		return err
	}
	if schema.PieceRoot(hashes) != rep.Header.Root {
		return fmt.Errorf("%w: its pieces are not those that were sealed", ErrDamaged)
	}
	if err := rep.Verify(schema.NewPublicKey(c.id.Key)); err != nil { // damage, or a key that was replaced
		return fmt.Errorf("%w: the report in the outbox is not signed with this vehicle's key: %w", pipeline.ErrUntrusted, err)
	}
	return nil
}

func pieceHashes(rep *schema.Report, r *io.SectionReader) (hashes []schema.Digest, err error) {
	err = eachPiece(rep, r, func(i int, piece []byte) error {
		hashes = append(hashes, schema.HashPiece(i, piece))
		return nil
	})
	return hashes, err
}

// Discard removes the outbox files of rounds that expired tells, asked with the
// round's name, and damaged ones. A report that was discarded stays counted.
func (c *Client) Discard(expired func(pipeline.RoundName) bool) error {
	all, err := c.Outbox()
	if err != nil {
		return err
	}
	for _, w := range all {
		if w.Damaged != nil || expired(w.Name) {
			if err := c.state.Remove(w.File); err != nil {
				return err
			}
		}
	}
	return nil
}

// openOutbox opens a finished report, or returns ErrDamaged.
func openOutbox(d *state.Dir, file string) (*os.File, *schema.Report, int64, error) {
	f, err := os.Open(d.Path(file))
	if err != nil {
		return nil, nil, 0, fmt.Errorf("client: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, 0, fmt.Errorf("client: %w", err)
	}
	rep, pieces, err := readOutbox(f, info.Size())
	if err == nil {
		return f, rep, pieces, nil
	}
	f.Close()
	if errors.Is(err, schema.ErrFormat) {
		return nil, nil, 0, fmt.Errorf("%w: %s: %w", ErrDamaged, d.Path(file), err)
	}
	return nil, nil, 0, fmt.Errorf("client: %s: %w", d.Path(file), err)
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

// Announcer is a store that is told of a report before its pieces come, as a gateway is
// that lets no vehicle write what it has not signed for. Upload announces to a store that is one.
type Announcer interface {
	// Announce hands over the head of the header object (header, box hashes, signature) and
	// the hashes of all pieces. It returns which pieces the store lacks, ascending, and
	// whether it holds the whole report already. Announcing again is no error.
	Announce(ctx context.Context, head []byte, pieces []schema.Digest) (missing []int, committed bool, err error)
}

func send(ctx context.Context, s storage.Store, rep *schema.Report, r *io.SectionReader, progress func(done, total int64)) error {
	name := nameOf(rep.Header)
	missing, committed, err := lacking(ctx, s, rep, r)
	if err != nil || committed {
		return err
	}
	total := int64(rep.Header.Blocks()*rep.Header.BlockBytes() + len(rep.Bytes()))
	done := int64(0)
	err = eachPiece(rep, r, func(i int, piece []byte) error {
		if missing[i] {
			if _, err := s.PutOnce(ctx, pipeline.PieceKey(name, rep.ID, i), piece); err != nil {
				return err
			}
		}
		done += int64(len(piece))
		if progress != nil {
			progress(done, total)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.PutOnce(ctx, pipeline.HeaderKey(name, rep.ID), rep.Bytes())
	return err
}

// eachPiece reads the pieces one after the other into one buffer.
func eachPiece(rep *schema.Report, r *io.SectionReader, do func(i int, piece []byte) error) error {
	buf, off := make([]byte, rep.Header.PieceBytes(0)), int64(0)
	for i := range rep.Header.Pieces() {
		piece := buf[:rep.Header.PieceBytes(i)]
		if _, err := io.ReadFull(io.NewSectionReader(r, off, int64(len(piece))), piece); err != nil {
			return fmt.Errorf("client: outbox: %w", err)
		}
		off += int64(len(piece))
		if err := do(i, piece); err != nil {
			return err
		}
	}
	return nil
}

// lacking asks which pieces have to be sent, and whether even the header is there.
func lacking(ctx context.Context, s storage.Store, rep *schema.Report, r *io.SectionReader) (map[int]bool, bool, error) {
	a, ok := s.(Announcer)
	if !ok {
		missing, err := unstored(ctx, s, rep)
		return missing, false, err
	}
	hashes, err := pieceHashes(rep, r)
	if err != nil {
		return nil, false, err
	}
	head, _ := rep.Header.BoxOffset(0)
	list, committed, err := a.Announce(ctx, rep.Bytes()[:head], hashes)
	missing := make(map[int]bool, len(list))
	for _, i := range list {
		missing[i] = true
	}
	return missing, committed, err
}

// unstored lists what is there of the report and returns the rest. Content is not
// compared, which would cost the bytes that resuming saves: who may write to the store and
// sees the first piece may plant another one of the right size, and the report is
// then refused, as if it had been deleted.
func unstored(ctx context.Context, s storage.Store, rep *schema.Report) (map[int]bool, error) {
	have, n := map[string]int64{}, nameOf(rep.Header)
	for info, err := range s.List(ctx, pipeline.ReportPrefix(n, rep.ID), "") {
		if err != nil {
			return nil, err
		}
		have[info.Key] = info.Size
	}
	missing := map[int]bool{}
	for i := range rep.Header.Pieces() {
		if have[pipeline.PieceKey(n, rep.ID, i)] != int64(rep.Header.PieceBytes(i)) {
			missing[i] = true
		}
	}
	return missing, nil
}
