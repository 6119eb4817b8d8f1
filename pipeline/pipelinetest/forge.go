package pipelinetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
)

// Forgery says how a malicious vehicle's report differs from an honest one.
// Zero fields are honest.
type Forgery struct {
	Params *secagg.Params                            // sealed with these; an honest report has the task's
	Values func(offset int, dst []int32)             // the message; nil sends zeros
	Header func(h *schema.Header)                    // changes the header before it is hashed
	Corr   func(corr []byte)                         // changes corr before it is hashed
	Boxes  func(id schema.ReportID, boxes [][]byte)  // changes boxes before they are signed
	Key    ed25519.PrivateKey                        // signs; nil is the vehicle's
	Accept func(id schema.ReportID) bool             // seal again until the ReportID is wanted
	Before func(rep *schema.Report, pieces [][]byte) // looks at the report before it is stored
}

// Forge seals and uploads a report past the client's own rules.
func (f *Fleet) Forge(r *pipeline.Round, v client.Identity, g Forgery) schema.ReportID {
	f.T.Helper()
	for {
		rep, pieces := f.forge(r, v, g)
		if g.Accept != nil && !g.Accept(rep.ID) {
			continue
		}
		if g.Before != nil {
			g.Before(rep, pieces)
		}
		for i, p := range pieces {
			f.Put(pipeline.PieceKey(r.Name, rep.ID, i), p)
		}
		f.Put(pipeline.HeaderKey(r.Name, rep.ID), rep.Bytes())
		return rep.ID
	}
}

func (f *Fleet) forge(r *pipeline.Round, v client.Identity, g Forgery) (*schema.Report, [][]byte) {
	f.T.Helper()
	params := r.Secagg
	if g.Params != nil {
		params = *g.Params
	}
	var nonce [32]byte
	rand.Read(nonce[:])
	seed, err := secagg.NewClientSeed(v.DeviceSecret[:], r.ID.Digest, nonce)
	f.must(err)
	var stream []byte
	sealed, err := secagg.Seal(params, r.ID.Digest, seed, func(offset int, dst []int32) error {
		if g.Values != nil {
			g.Values(offset, dst)
		}
		return nil
	}, func(_ int, block []byte) error { stream = append(stream, block...); return nil })
	f.must(err)
	h := r.Header()
	h.TaskID, h.RoundID, h.Epoch, h.Lane, h.Vehicle = r.Name.Task, r.ID, r.Name.Epoch, r.Name.Lane, v.ID
	var pieces [][]byte
	var hashes []schema.Digest
	for i := range h.Pieces() {
		n := h.PieceBytes(i)
		pieces, hashes = append(pieces, stream[:n]), append(hashes, schema.HashPiece(i, stream[:n]))
		stream = stream[n:]
	}
	corr := sealed.Corr()
	if g.Corr != nil {
		g.Corr(corr)
	}
	h.CorrHash, h.Root = schema.HashCorr(corr), schema.PieceRoot(hashes)
	for _, x := range sealed.Commitments() {
		h.Commitments = append(h.Commitments, x)
	}
	if g.Header != nil {
		g.Header(&h)
	}
	return f.assemble(r, v, g, h, sealed, corr), pieces
}

func (f *Fleet) assemble(r *pipeline.Round, v client.Identity, g Forgery, h schema.Header, sealed *secagg.Sealed, corr []byte) *schema.Report {
	f.T.Helper()
	raw, err := h.Encode()
	f.must(err)
	id := schema.NewReportID(raw)
	boxes := make([][]byte, h.Size)
	for k := range boxes {
		boxes[k], err = sealed.Box(k, r.Descriptor.RoundKeys[k].Body.PublicKey, id.Digest)
		f.must(err)
	}
	if g.Boxes != nil {
		g.Boxes(id, boxes)
	}
	signer := v.Key
	if g.Key != nil {
		signer = g.Key
	}
	rep, err := schema.NewReport(h, boxes, corr, signer)
	f.must(err)
	return rep
}

// Seeds opens decryptor k's box of a report with the key in its state
// directory, which no check has used yet.
func (f *Fleet) Seeds(r *pipeline.Round, k int, id schema.ReportID) (secagg.Seeds, error) {
	f.T.Helper()
	raw, err := os.ReadFile(filepath.Join(f.Dir, fmt.Sprintf("decryptor-%d", k), "rounds", r.Name.Task.String(), r.Name.String()+".json"))
	f.must(err)
	var file struct{ Key []byte }
	f.must(json.Unmarshal(raw, &file))
	key, err := secagg.ParseRoundKey(r.Secagg.Suite(), file.Key)
	f.must(err)
	rep, box, err := r.ReadHead(context.Background(), f.Store, id, k)
	f.must(err)
	var commitments [][32]byte
	for _, c := range rep.Header.Commitments {
		commitments = append(commitments, c)
	}
	return secagg.OpenBox(r.Secagg, k, key, r.ID.Digest, id.Digest, box, commitments)
}

// Weak returns the task's parameters with the least noise that can be sealed,
// what a vehicle uses that forgets most of its noise.
func (f *Fleet) Weak() *secagg.Params {
	f.T.Helper()
	l := f.Plan.Secagg.Literal()
	l.LocalStdDev = 6.4
	p, err := secagg.New(l)
	f.must(err)
	return &p
}

// ForgeEntry appends a reservation to the scope's ledger of head entries, signed with key, whatever budget and
// rules say.
func (f *Fleet) ForgeEntry(key ed25519.PrivateKey, head int64, req ledger.Request) {
	f.T.Helper()
	folder := pipeline.LedgerPrefix(f.Task.Scope.ID())
	prev := pipeline.LedgerScope(f.Task.Scope).Genesis().Root // of one leaf, the leaf
	if head > 1 {
		prev = sha256.Sum256(append([]byte{0}, f.Get(folder+ledger.EntryKey(head-1))...))
	}
	event, err := json.Marshal(req.Event)
	f.must(err)
	body := fmt.Appendf(nil, `{"version":1,"kind":"reserve","index":%d,"prev":"%s","task_id":"%s","round_id":"%s","epoch":%d,"lane":%d,"manifest":"%s","reports":%d,"reservation":"%s","event":%s}`,
		head, prev, req.Task, req.Round, req.Epoch, req.Lane, req.Manifest, req.Reports, req.Reservation, event)
	scope := f.Task.Scope.ID()
	sig := schema.Sign(key, "ledger", scope.Digest[:], body)
	f.Put(folder+ledger.EntryKey(head), fmt.Appendf(nil, `{"body":%s,"signature":"%x"}`, body, sig[:]))
}

// Replace puts other bytes under a key, as a malicious store does.
func (f *Fleet) Replace(key string, change func([]byte) []byte) {
	f.T.Helper()
	b := f.Get(key)
	f.must(f.Store.Delete(context.Background(), key))
	if b = change(b); b != nil {
		f.Put(key, b)
	}
}
