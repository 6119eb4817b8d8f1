package client

import (
	"context"
	"fmt"
	"io"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Carried is a report on its way as one run of bytes, in the form of an outbox file: what a client
// without a store hands to whoever has one.
type Carried struct {
	*schema.Report
	pieces *io.SectionReader
}

// ReadCarried reads a report of size bytes and checks its parts against its own header: boxes, corr and pieces. Anything
// else is [ErrDamaged]. Whether the header belongs to a round, and who signed it, is not asked here. The reader is used
// until the report was sent.
func ReadCarried(f io.ReaderAt, size int64) (*Carried, error) {
	rep, pieces, err := readOutbox(f, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	c := &Carried{rep, io.NewSectionReader(f, 0, pieces)}
	if err := rep.VerifyBoxes(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	hashes, err := pieceHashes(rep, c.pieces)
	if err != nil {
		return nil, err
	}
	if schema.PieceRoot(hashes) != rep.Header.Root {
		return nil, fmt.Errorf("%w: its pieces are not those that were sealed", ErrDamaged)
	}
	return c, nil
}

// Send writes the report to a store as [Client.Upload] does: the pieces that it lacks, then the header object.
// It may be interrupted anywhere and called again.
func (c *Carried) Send(ctx context.Context, s storage.Store) error {
	return send(ctx, s, c.Report, c.pieces, nil)
}

// Export writes the bytes of an outbox file for [ReadCarried]. The file stays where it is: a carrier may
// lose what it carries. [Client.Discard] removes it. What [Client.Upload] would not send is not exported.
func (c *Client) Export(file string, w io.Writer) (schema.ReportID, error) {
	f, rep, pieces, err := c.openCounted(file)
	if err != nil {
		return schema.ReportID{}, err
	}
	defer f.Close()
	size := pieces + int64(len(rep.Bytes())) + 8
	if _, err := io.Copy(w, io.NewSectionReader(f, 0, size)); err != nil {
		return rep.ID, fmt.Errorf("client: %w", err)
	}
	return rep.ID, nil
}
