package client

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
)

// Sealed is a report in the outbox.
type Sealed struct {
	Report  schema.ReportID
	Name    pipeline.RoundName
	Bytes   int64 // of all objects of the report
	Clipped bool  // the update was longer than the clipping norm; known to this vehicle only
	file    string
}

// File returns the outbox file's name.
func (s *Sealed) File() string { return s.file }

func (c *Client) seal(r *pipeline.Round, h *history, values []float32) (*Sealed, error) {
	encoded, err := c.encode(r, values)
	if err != nil {
		return nil, err
	}
	seed, err := secagg.NewClientSeed(c.id.DeviceSecret[:], r.ID.Digest, encoded.Digest())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.begin(), c.clear(h)); err != nil {
		return nil, err
	}
	w, err := c.state.NewWriter(outboxFile(r.ID))
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	pieces := pieceWriter{w: w, size: r.Task.PieceBlocks * r.Secagg.BlockBytes()}
	sealed, err := secagg.Seal(r.Secagg, r.ID.Digest, seed, func(offset int, dst []int32) error {
		encoded.Values(offset, dst)
		return nil
	}, func(_ int, block []byte) error { return pieces.write(block) })
	if err != nil {
		return nil, err
	}
	defer sealed.Erase()
	root, err := pieces.finish()
	if err != nil {
		return nil, err
	}
	rep, err := c.report(r, sealed, root)
	if err != nil {
		return nil, err
	}
	out := &Sealed{Report: rep.ID, Name: r.Name, Bytes: pieces.total + int64(len(rep.Bytes())), Clipped: encoded.Clipped(), file: outboxFile(r.ID)}
	return out, c.commit(r, h, w, rep)
}

// encode clips, rotates and rounds. The rounding's seed is hedged like the client seed.
func (c *Client) encode(r *pipeline.Round, values []float32) (*privacy.Encoded, error) {
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		return nil, err
	}
	var u [32]byte
	if _, err := rand.Read(u[:]); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return enc.Encode(values, schema.Hash("rounding", u[:], c.id.DeviceSecret[:], r.ID.Digest[:]))
}

// report assembles and signs the header object.
func (c *Client) report(r *pipeline.Round, sealed *secagg.Sealed, root schema.Digest) (*schema.Report, error) {
	h := r.Header()
	h.TaskID, h.RoundID, h.Epoch, h.Lane, h.Vehicle = r.Name.Task, r.ID, r.Name.Epoch, r.Name.Lane, c.id.ID
	corr := sealed.Corr()
	h.CorrHash, h.Root = schema.HashCorr(corr), root
	for _, x := range sealed.Commitments() {
		h.Commitments = append(h.Commitments, x)
	}
	raw, err := h.Encode()
	if err != nil {
		return nil, err
	}
	id := schema.NewReportID(raw)
	boxes := make([][]byte, h.Size)
	for k := range boxes {
		if boxes[k], err = sealed.Box(k, r.Descriptor.RoundKeys[k].Body.PublicKey, id.Digest); err != nil {
			return nil, err
		}
	}
	return schema.NewReport(h, boxes, corr, c.id.Key)
}

// commit makes the report durable, then counts it: the history is the commit
// point. A file whose round the history does not count is never sent, so that
// a crash, or a disk that is full, between the two loses neither the turn nor a
// participation: the vehicle seals again.
func (c *Client) commit(r *pipeline.Round, h *history, w *state.Writer, rep *schema.Report) error {
	b := rep.Bytes()
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b)))); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := w.Commit(); err != nil {
		return err
	}
	h.count(r, rep.ID)
	if err := c.save(h); err != nil {
		c.withdraw(rep)
		return err
	}
	return nil
}

// withdraw gives the space of a report back if it was not counted; the error that led here is the one to tell.
func (c *Client) withdraw(rep *schema.Report) {
	if h, err := c.history(); err == nil && !h.counts(rep.Header) {
		_ = c.state.Remove(outboxFile(rep.Header.RoundID))
	}
}

// pieceWriter cuts the stream of blocks into pieces and hashes each.
type pieceWriter struct {
	w      *state.Writer
	size   int // bytes of a full piece
	buf    []byte
	hashes []schema.Digest
	total  int64
}

func (p *pieceWriter) write(block []byte) error {
	p.buf = append(p.buf, block...)
	if len(p.buf) < p.size {
		return nil
	}
	return p.flush()
}

func (p *pieceWriter) flush() error {
	p.hashes = append(p.hashes, schema.HashPiece(len(p.hashes), p.buf))
	p.total += int64(len(p.buf))
	_, err := p.w.Write(p.buf)
	p.buf = p.buf[:0]
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

func (p *pieceWriter) finish() (schema.Digest, error) {
	if len(p.buf) > 0 {
		if err := p.flush(); err != nil {
			return schema.Digest{}, err
		}
	}
	return schema.PieceRoot(p.hashes), nil
}
