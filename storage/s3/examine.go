package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/veilsum/veilsum/storage"
)

var (
	_ storage.Prober   = (*Store)(nil)
	_ storage.Examiner = (*Store)(nil)
	_ storage.Janitor  = (*Store)(nil)
)

const (
	partRacers = 6
	partRounds = 4
	probes     = "veilsum-probe/" // where the package doctor probes; never locked
)

// Probe implements [storage.Prober]: it creates an object below "veilsum-probe/", tries
// to create it again with other bytes, by a single PUT and in parts, both of
// which the server MUST refuse, and deletes it. The error wraps [storage.ErrLies] if it does not.
func (s *Store) Probe(ctx context.Context) error {
	key := probes + rand.Text()
	if _, err := s.PutOnce(ctx, key, []byte("first")); err != nil {
		return err
	}
	err := (&probe{s}).refuses(ctx, key)
	_ = s.Delete(ctx, key) // who may not delete leaves it to "store gc"
	return err
}

// probe makes requests that the driver itself would never make.
type probe struct{ *Store }

// refuses tries to overwrite an object.
func (p *probe) refuses(ctx context.Context, key string) error {
	_, err := p.PutOnce(ctx, key, []byte("second"))
	if err == nil {
		return fmt.Errorf("%w: %s ignores If-None-Match: it overwrites objects; do not use it", storage.ErrLies, p)
	}
	if !errors.Is(err, storage.ErrConflict) || p.config.PartsFrom < 0 {
		return ignore(err, storage.ErrConflict)
	}
	err = p.inOnePart(ctx, key, []byte("third"))
	have, look := storage.ReadAll(ctx, p.Store, key, 100)
	switch {
	case look != nil:
		return look
	case err == nil || string(have) != "first":
		return fmt.Errorf("%w: %s ignores If-None-Match when an upload in parts is completed: it overwrites objects; use it with parts=false", storage.ErrLies, p)
	case minio.ToErrorResponse(err).StatusCode == http.StatusPreconditionFailed:
		return nil
	}
	return p.fail("probe", key, err)
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// inOnePart uploads a body in one part, which is the last and may be small, with
// the condition where PutOnce has it. Once only.
func (p *probe) inOnePart(ctx context.Context, key string, content []byte) error {
	name, err := p.object(key)
	if err != nil {
		return err
	}
	id, err := p.once.NewMultipartUpload(ctx, p.config.Bucket, name, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	part, err := p.once.PutObjectPart(ctx, p.config.Bucket, name, id, 1, bytes.NewReader(content), int64(len(content)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})
	if err == nil {
		var options minio.PutObjectOptions
		options.SetMatchETagExcept("*")
		_, err = p.once.CompleteMultipartUpload(ctx, p.config.Bucket, name, id, []minio.CompletePart{{PartNumber: 1, ETag: part.ETag}}, options)
	}
	if err != nil {
		p.abort(ctx, name, id)
	}
	return err
}

// Examine implements [storage.Examiner].
func (s *Store) Examine(ctx context.Context, folder string, report func(storage.Finding)) error {
	p := &probe{s}
	for _, check := range []func(context.Context, string) (storage.Finding, error){
		p.partsCondition, p.partsRace, p.payloadHash, p.contentMD5, p.checksum, p.interrupted, p.serverEncryption, p.versions, p.retention, p.transport,
	} {
		f, err := check(ctx, folder)
		if err != nil {
			return err
		}
		report(f)
	}
	return nil
}

func finding(check string, level storage.Level, format string, args ...any) storage.Finding {
	return storage.Finding{Check: check, Level: level, Detail: fmt.Sprintf(format, args...)}
}

// bad is the level of a fault on the path by which large bodies go.
func (p *probe) bad() (storage.Level, string) {
	if p.config.PartsFrom < 0 {
		return storage.Warning, "; not used, as parts=false"
	}
	return storage.Failure, "; use the store with parts=false"
}

func (p *probe) partsCondition(ctx context.Context, folder string) (storage.Finding, error) {
	const check = "create-only-parts"
	level, cure := p.bad()
	key := folder + "parts"
	if err := p.inOnePart(ctx, key, []byte("first")); err != nil {
		return finding(check, level, "an upload in parts fails: %v%s", p.fail("put", key, err), cure), nil
	}
	err := p.inOnePart(ctx, key, []byte("second"))
	switch {
	case err == nil:
		return finding(check, level, "it overwrites: the condition is ignored when an upload in parts is completed%s", cure), nil
	case minio.ToErrorResponse(err).StatusCode != http.StatusPreconditionFailed:
		return finding(check, level, "a second upload in parts ends with %v, not with 412%s", p.fail("put", key, err), cure), nil
	}
	return finding(check, storage.OK, "completing an upload in parts on a name that is taken is refused"), nil
}

func (p *probe) partsRace(ctx context.Context, folder string) (storage.Finding, error) {
	const check = "race-parts"
	level, cure := p.bad()
	for round := range partRounds {
		key := fmt.Sprintf("%sparts-race-%d", folder, round)
		var errs [partRacers]error
		var group sync.WaitGroup
		for i := range partRacers {
			group.Go(func() { errs[i] = p.inOnePart(ctx, key, fmt.Appendf(nil, "writer %d", i)) })
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			}
		}
		if won != 1 {
			return finding(check, level, "%d of %d writers at once completed an upload in parts, one should have%s", won, partRacers, cure), ctx.Err()
		}
	}
	return finding(check, storage.OK, "%d writers in parts at once, %d times: always one winner", partRacers, partRounds), nil
}

// raw sends one PUT as told and tells whether the server took it.
func (p *probe) raw(ctx context.Context, key, md5Base64, sha256Hex string, options minio.PutObjectOptions) error {
	name, err := p.object(key)
	if err != nil {
		return err
	}
	options.DisableContentSha256 = true
	body := []byte("content")
	_, err = p.once.PutObject(ctx, p.config.Bucket, name, bytes.NewReader(body), int64(len(body)), md5Base64, sha256Hex, options)
	return err
}

// answered returns an error unless the server itself refused the request.
func (p *probe) answered(err error) error {
	if minio.ToErrorResponse(err).StatusCode != 0 {
		return nil
	}
	return p.fail("probe", "", err)
}

func contentSum() string {
	sum := sha256.Sum256([]byte("content"))
	return hex.EncodeToString(sum[:])
}

// payloadHash: the driver relies on this one.
func (p *probe) payloadHash(ctx context.Context, folder string) (storage.Finding, error) {
	wrong := sha256.Sum256([]byte("other content"))
	err := p.raw(ctx, folder+"payload", "", hex.EncodeToString(wrong[:]), minio.PutObjectOptions{})
	if err == nil {
		return finding("damaged-upload", storage.Failure, "a body that differs from its signed SHA-256 is stored: damage on the way is not noticed"), nil
	}
	return finding("damaged-upload", storage.OK, "a body that differs from its signed SHA-256 is refused"), p.answered(err)
}

func (p *probe) contentMD5(ctx context.Context, folder string) (storage.Finding, error) {
	wrong := md5.Sum([]byte("other content"))
	err := p.raw(ctx, folder+"md5", base64.StdEncoding.EncodeToString(wrong[:]), contentSum(), minio.PutObjectOptions{})
	if err == nil {
		return finding("content-md5", storage.Warning, "a wrong Content-MD5 is accepted; the signed SHA-256 is what veilsum relies on"), nil
	}
	return finding("content-md5", storage.OK, "a wrong Content-MD5 is refused"), p.answered(err)
}

func (p *probe) checksum(ctx context.Context, folder string) (storage.Finding, error) {
	wrong := sha256.Sum256([]byte("other content"))
	header := map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(wrong[:])}
	err := p.raw(ctx, folder+"checksum", "", contentSum(), minio.PutObjectOptions{UserMetadata: header})
	if err == nil {
		return finding("checksum-header", storage.Warning, "a wrong x-amz-checksum-sha256 is accepted; the signed SHA-256 is what veilsum relies on"), nil
	}
	return finding("checksum-header", storage.OK, "a wrong x-amz-checksum-sha256 is refused"), p.answered(err)
}

// interrupted: what the janitor needs.
func (p *probe) interrupted(ctx context.Context, folder string) (storage.Finding, error) {
	const check = "interrupted-uploads"
	name, err := p.object(folder + "interrupted")
	if err != nil {
		return storage.Finding{}, err
	}
	id, err := p.once.NewMultipartUpload(ctx, p.config.Bucket, name, minio.PutObjectOptions{})
	if err != nil {
		return finding(check, storage.Warning, "uploads in parts are not offered"), ctx.Err()
	}
	listed := false
	all, err := p.uploads(ctx, p.base()+folder)
	for _, u := range all {
		listed = listed || u.UploadID == id
	}
	gone := p.once.AbortMultipartUpload(ctx, p.config.Bucket, name, id)
	if err != nil || !listed || gone != nil {
		return finding(check, storage.Warning, "they cannot be listed and removed: \"store gc\" leaves them; let the bucket expire them by a lifecycle rule"), ctx.Err()
	}
	return finding(check, storage.OK, "they can be listed and removed"), nil
}

// serverEncryption: a server that says it encrypts with our key must not answer without it.
func (p *probe) serverEncryption(ctx context.Context, folder string) (storage.Finding, error) {
	const check = "server-side-encryption"
	key, err := encrypt.NewSSEC(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		return storage.Finding{}, fmt.Errorf("s3: %w", err)
	}
	if err := p.raw(ctx, folder+"sse-c", "", contentSum(), minio.PutObjectOptions{ServerSideEncryption: key}); err != nil {
		return finding(check, storage.OK, "SSE-C is refused; veilsum needs none"), p.answered(err)
	}
	name, err := p.object(folder + "sse-c")
	if err != nil {
		return storage.Finding{}, err
	}
	if _, err := p.once.StatObject(ctx, p.config.Bucket, name, minio.StatObjectOptions{}); err == nil {
		return finding(check, storage.Warning, "SSE-C is accepted, and then nobody asks for the key: the server encrypts nothing; never rely on it (veilsum does not)"), nil
	}
	return finding(check, storage.OK, "what is stored with SSE-C is not shown without the key"), ctx.Err()
}

func (p *probe) versions(ctx context.Context, _ string) (storage.Finding, error) {
	v, err := p.once.GetBucketVersioning(ctx, p.config.Bucket)
	switch {
	case err != nil:
		return finding("versioning", storage.OK, "not offered, or not ours to ask"), ctx.Err()
	case v.Enabled():
		return finding("versioning", storage.OK, "on: deleted objects stay as old versions until a lifecycle rule removes them, so \"store gc\" alone frees no room"), nil
	}
	return finding("versioning", storage.OK, "off"), nil
}

// retention proves that a locked object cannot be deleted. It uses the shortest
// lock, of one minute in governance mode, so that the probe can go at last.
func (p *probe) retention(ctx context.Context, folder string) (storage.Finding, error) {
	const check = "retention"
	if p.config.Retain.Mode == "" {
		return finding(check, storage.OK, "not asked for (retain=governance:DAYS in the URL)"), nil
	}
	name, err := p.object(folder + "retained")
	if err != nil {
		return storage.Finding{}, err
	}
	sum := md5.Sum([]byte("content"))
	err = p.raw(ctx, folder+"retained", base64.StdEncoding.EncodeToString(sum[:]), contentSum(),
		minio.PutObjectOptions{Mode: minio.Governance, RetainUntilDate: time.Now().Add(time.Minute)})
	if err != nil {
		return finding(check, storage.Failure, "the bucket takes no retention: %v; make it with object lock", p.fail("put", folder+"retained", err)), ctx.Err()
	}
	found, err := p.once.StatObject(ctx, p.config.Bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return storage.Finding{}, p.fail("stat", folder+"retained", err)
	}
	version := found.VersionID
	err = p.once.RemoveObject(ctx, p.config.Bucket, name, minio.RemoveObjectOptions{VersionID: version})
	if err == nil {
		return finding(check, storage.Failure, "an object that is locked was deleted"), nil
	}
	_ = p.once.RemoveObject(ctx, p.config.Bucket, name, minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: true})
	return finding(check, storage.OK, "a locked object cannot be deleted (%s, %d days)", p.config.Retain.Mode, p.config.Retain.Days), ctx.Err()
}

func (p *probe) transport(context.Context, string) (storage.Finding, error) {
	if !p.config.Secure {
		return finding("transport", storage.Warning, "plain http: requests are signed, but whoever is on the way reads names, sizes and ciphertexts"), nil
	}
	return finding("transport", storage.OK, "https"), nil
}
