package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fakeUpload is an upload in parts that is not complete.
type fakeUpload struct {
	name   string
	header http.Header
	parts  map[int][]byte
}

// multipart answers the requests of uploads in parts.
func (f *fake) multipart(w http.ResponseWriter, r *http.Request, name string) {
	query := r.URL.Query()
	id := query.Get("uploadId")
	if query.Has("uploads") {
		if r.Method == http.MethodPost {
			f.begin(w, r, name)
		} else {
			f.listUploads(w, query.Get("prefix"))
		}
		return
	}
	u, ok := f.uploads[id]
	if !ok {
		errorAnswer(w, http.StatusNotFound, "NoSuchUpload", "")
		return
	}
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		n, bad := strconv.Atoi(query.Get("partNumber"))
		if err != nil || bad != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		u.parts[n] = body
		w.Header().Set("ETag", f.etag(body))
	case http.MethodDelete:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		fmt.Fprint(w, "<ListPartsResult><IsTruncated>false</IsTruncated>")
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			fmt.Fprintf(w, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Size>%d</Size></Part>", n, f.etag(u.parts[n]), len(u.parts[n]))
		}
		fmt.Fprint(w, "</ListPartsResult>")
	case http.MethodPost:
		f.complete(w, r, id, u)
	}
}

func (f *fake) etag(body []byte) string {
	if f.oddETags {
		return `"` + strconv.Itoa(len(body)) + `-odd"`
	}
	return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(body)))
}

func (f *fake) begin(w http.ResponseWriter, r *http.Request, name string) {
	header := http.Header{"Last-Modified": {time.Unix(1e9, 0).UTC().Format(http.TimeFormat)}}
	for key, values := range r.Header {
		if strings.HasPrefix(key, "X-Amz-Meta-") {
			header[key] = values
		}
	}
	id := fmt.Sprintf("upload-%d", f.begun)
	f.begun++
	f.uploads[id] = &fakeUpload{name, header, map[int][]byte{}}
	fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
}

func (f *fake) listUploads(w http.ResponseWriter, prefix string) {
	fmt.Fprint(w, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>")
	for _, id := range slices.Sorted(maps.Keys(f.uploads)) {
		if u := f.uploads[id]; strings.HasPrefix(u.name, prefix) {
			fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>", u.name, id)
		}
	}
	fmt.Fprint(w, "</ListMultipartUploadsResult>")
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request, id string, u *fakeUpload) {
	var want struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.NewDecoder(r.Body).Decode(&want); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if _, exists := f.objects[u.name]; exists && r.Header.Get("If-None-Match") == "*" && !f.ignoreConditions && !f.ignoreOnComplete {
		errorAnswer(w, http.StatusPreconditionFailed, "PreconditionFailed", "")
		return
	}
	var body bytes.Buffer
	for _, p := range want.Part {
		part, ok := u.parts[p.PartNumber]
		if !ok || strings.Trim(f.etag(part), `"`) != strings.Trim(p.ETag, `"`) {
			errorAnswer(w, http.StatusBadRequest, "InvalidPart", "")
			return
		}
		body.Write(part)
	}
	delete(f.uploads, id)
	stored := body.Bytes()
	if f.damageParts {
		stored[len(stored)/2] ^= 1
	}
	f.objects[u.name] = fakeObject{stored, u.header}
	fmt.Fprint(w, "<CompleteMultipartUploadResult><Bucket>bucket</Bucket></CompleteMultipartUploadResult>")
}
