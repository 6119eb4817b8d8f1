package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/veilsum/veilsum/storage"
)

// notesFolder holds one small object for each upload in parts that is under way, so that
// the same write, started again by another process, finds the parts that
// arrived. The dot keeps it out of every list: it is no key.
const notesFolder = ".veilsum-uploads/"

// upload is an upload in parts, as its note says.
type upload struct {
	Key      string `json:"key"`
	SHA256   string `json:"sha256"`
	WriteID  string `json:"write_id"` // in the metadata of the object to be; the server does not tell it before
	UploadID string `json:"upload_id"`
	PartSize int64  `json:"part_size"`

	etags    []string // of the parts that are there, "" if missing
	unproven bool     // an ETag is no MD5: the server stores something else than was sent, or encrypts
}

// runParts is PutOnce for large bodies. The name appears when the upload is
// completed, with If-None-Match on that request, so whatever happens before is invisible.
func (w *write) runParts(ctx context.Context) (storage.Outcome, error) {
	// The common retry: do not send it all just to be told. A look that fails says nothing.
	outcome, err := w.look(ctx)
	if err == nil || errors.Is(err, storage.ErrConflict) {
		return outcome, err
	}
	outcome, err = w.run(ctx, w.sendParts)
	if w.parts != nil && (err == nil || errors.Is(err, storage.ErrConflict)) {
		w.endParts(ctx, err != nil)
	}
	if err == nil && w.parts != nil && w.parts.unproven {
		return outcome, w.readBack(ctx)
	}
	return outcome, err
}

// sendParts sends what is missing and completes the upload.
func (w *write) sendParts(ctx context.Context) error {
	if w.parts == nil {
		if err := w.beginParts(ctx); err != nil {
			return err
		}
	}
	err := w.fillParts(ctx)
	if err == nil {
		err = w.completeParts(ctx)
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchUpload, minio.NoSuchKey: // somebody completed or removed it: look, then begin anew
		w.forgetNote(ctx)
		w.parts = nil
		return errGone
	case "InvalidPart", "InvalidPartOrder": // somebody sent other bytes: ask again which are there
		return errGone
	}
	return err
}

// Both look like a lost answer: the object tells what happened.
var (
	errGone = errors.New("s3: the upload in parts is gone")
	errLook = errors.New("s3: the upload in parts is complete")
)

// noteName depends on everything that two uploads must share to be one.
func (w *write) noteName() string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\n%x\n%d", w.name, w.sum, w.store.config.PartSize))
	return w.store.base() + notesFolder + hex.EncodeToString(h[:])
}

// beginParts finds the upload that an earlier process began, or begins one.
func (w *write) beginParts(ctx context.Context) error {
	u, err := w.readNote(ctx)
	if err == nil {
		w.parts = u
		return nil
	}
	if doubtful(err) { // else there is none, or we may not have one: then only this call can resume
		return err
	}
	options := w.options()
	u = &upload{Key: w.key, SHA256: hex.EncodeToString(w.sum[:]), WriteID: hex.EncodeToString(w.id[:]), PartSize: w.store.config.PartSize}
	if u.UploadID, err = w.store.once.NewMultipartUpload(ctx, w.store.config.Bucket, w.name, options); err != nil {
		return err
	}
	note, err := json.Marshal(u)
	if err != nil {
		return err
	}
	n, err := w.store.newWrite(w.key, w.noteName(), note)
	if err != nil {
		return err
	}
	n.plain = true
	if _, err = n.run(ctx, n.put); errors.Is(err, storage.ErrConflict) { // another process began the same
		w.store.abort(ctx, w.name, u.UploadID)
		if u, err = w.readNote(ctx); err != nil { // and has ended it, or the link is bad
			return errGone
		}
	}
	w.parts = u
	return ctx.Err()
}

// readNote returns the upload that the note names.
func (w *write) readNote(ctx context.Context) (*upload, error) {
	r, _, _, err := w.store.read.GetObject(ctx, w.store.config.Bucket, w.noteName(), minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, 16<<10))
	if err != nil {
		return nil, err
	}
	u := &upload{}
	if err := json.Unmarshal(raw, u); err != nil || u.Key != w.key || u.SHA256 != hex.EncodeToString(w.sum[:]) || u.PartSize != w.store.config.PartSize || u.UploadID == "" {
		w.forgetNote(ctx) // unreadable: begin anew
		return nil, errGone
	}
	return u, nil
}

func (w *write) forgetNote(ctx context.Context) {
	_ = w.store.read.RemoveObject(ctx, w.store.config.Bucket, w.noteName(), minio.RemoveObjectOptions{}) // else the janitor does
}

func (s *Store) abort(ctx context.Context, name, uploadID string) {
	_ = s.once.AbortMultipartUpload(ctx, s.config.Bucket, name, uploadID) // else the janitor does
}

// endParts tidies up after an upload whose outcome is known.
func (w *write) endParts(ctx context.Context, lost bool) {
	w.forgetNote(ctx)
	if lost {
		w.store.abort(ctx, w.name, w.parts.UploadID)
	}
}

// part returns the bytes of part i, from 0.
func (w *write) part(i int) []byte {
	from := int64(i) * w.parts.PartSize
	return w.content[from:min(from+w.parts.PartSize, int64(len(w.content)))]
}

// fillParts sends every part that is not there with the right size and MD5.
func (w *write) fillParts(ctx context.Context) error {
	n := int((int64(len(w.content)) + w.parts.PartSize - 1) / w.parts.PartSize)
	w.parts.etags = make([]string, n)
	if err := w.listParts(ctx); err != nil {
		return err
	}
	for i := range n {
		if w.parts.etags[i] != "" {
			continue
		}
		if err := w.sendPart(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// listParts finds the parts that are there. One whose ETag is not the MD5 of our
// bytes counts as missing.
func (w *write) listParts(ctx context.Context) error {
	for marker := 0; ; {
		found, err := w.store.read.ListObjectParts(ctx, w.store.config.Bucket, w.name, w.parts.UploadID, marker, 1000)
		if err != nil {
			return err
		}
		for _, p := range found.ObjectParts {
			if i := p.PartNumber - 1; i >= 0 && i < len(w.parts.etags) && p.Size == int64(len(w.part(i))) && bareETag(p.ETag) == partSum(w.part(i)) {
				w.parts.etags[i] = bareETag(p.ETag)
			}
		}
		if !found.IsTruncated || found.NextPartNumberMarker <= marker {
			return nil
		}
		marker = found.NextPartNumberMarker
	}
}

func bareETag(etag string) string { return strings.Trim(etag, `"`) }

func partSum(part []byte) string {
	sum := md5.Sum(part)
	return hex.EncodeToString(sum[:])
}

// sendPart may send a part many times: the last one counts, and all are equal.
func (w *write) sendPart(ctx context.Context, i int) error {
	content := w.part(i)
	sum, digest := sha256.Sum256(content), md5.Sum(content)
	var last error
	for try := range w.store.config.MaxTries {
		if err := w.wait(ctx, try); err != nil {
			return errors.Join(err, last)
		}
		source := &lease{r: bytes.NewReader(content)}
		got, err := w.store.once.PutObjectPart(ctx, w.store.config.Bucket, w.name, w.parts.UploadID, i+1, source, int64(len(content)), minio.PutObjectPartOptions{
			Md5Base64: base64.StdEncoding.EncodeToString(digest[:]), Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true,
		})
		source.end()
		if err == nil {
			w.parts.etags[i] = bareETag(got.ETag)
			w.parts.unproven = w.parts.unproven || w.parts.etags[i] != hex.EncodeToString(digest[:])
			return nil
		}
		if last = err; !doubtful(err) {
			return err
		}
	}
	return last
}

// completeParts gives the object its name, if that is free. A success is not believed before the
// object was looked at: the upload may have been begun by another call, whose metadata it then has,
// and versitygw 1.8.0 answers 200 to the completion of an upload that is removed at that moment.
func (w *write) completeParts(ctx context.Context) error {
	var all []minio.CompletePart
	for i, etag := range w.parts.etags {
		all = append(all, minio.CompletePart{PartNumber: i + 1, ETag: etag})
	}
	var options minio.PutObjectOptions
	options.SetMatchETagExcept("*")
	_, err := w.store.once.CompleteMultipartUpload(ctx, w.store.config.Bucket, w.name, w.parts.UploadID, all, options)
	if err == nil {
		return errLook
	}
	return err
}

// readBack reads the whole object and compares, where the server's ETags prove nothing.
func (w *write) readBack(ctx context.Context) error {
	have, err := w.hashOf(ctx, int64(len(w.content)))
	if err == nil && have != w.sum {
		err = fmt.Errorf("%w: s3: %q reads back with sha256 %x, written as %x", storage.ErrDamaged, w.key, have, w.sum)
	}
	return err
}

// retain adds the retention to the options of an object that is to be locked.
func (s *Store) retain(key string, options *minio.PutObjectOptions) {
	if s.config.Retain.Mode == "" || strings.HasPrefix(key, probes) || !s.locked(key) {
		return
	}
	options.Mode = minio.RetentionMode(strings.ToUpper(s.config.Retain.Mode))
	options.RetainUntilDate = time.Now().AddDate(0, 0, s.config.Retain.Days)
}
