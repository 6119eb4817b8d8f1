package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// A gateway shows public objects to everybody and takes reports from whoever logs in.
func Example() {
	pipelinetest.Example(4, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		g, err := gateway.New(gateway.Config{Store: f.Store, Owner: schema.NewPublicKey(f.Owner), Names: []string{"gateway.example"}})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, path := range []string{"/readyz", "/v1/objects/tasks/" + f.TaskID.String() + "/task.json", "/v1/objects/snapshots/" + f.Snapshot.String()} {
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			fmt.Println(w.Code)
		}
	})
	// Output:
	// 200
	// 200
	// 404
}
