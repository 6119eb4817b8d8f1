package s3_test

import (
	"fmt"

	"github.com/veilsum/veilsum/storage/s3"
)

func ExampleParseURL() {
	c, err := s3.ParseURL("s3://fleet/rounds?endpoint=127.0.0.1:7070&tls=false")
	fmt.Println(c.Endpoint, c.Bucket, c.Prefix, c.Secure, err)

	// Keys never belong into a URL: they come from the environment or a file.
	_, err = s3.ParseURL("s3://user:secret@fleet/rounds")
	fmt.Println(err != nil)
	// Output:
	// 127.0.0.1:7070 fleet rounds false <nil>
	// true
}
