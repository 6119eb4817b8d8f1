package realshare_test

import (
	"context"
	"fmt"
	"os"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/fleetsim/realshare"
	"github.com/veilsum/veilsum/storage/mem"
)

func Example() {
	folder, err := os.MkdirTemp("", "realshare-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	s := planet.Defaults()
	s.Report.Values = 5000
	real, err := realshare.Run(context.Background(), realshare.Config{Store: mem.New(), Folder: folder, Scenario: s, Vehicles: 8})
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Report.Bytes, s.Report.ConnectBytes, s.Report.ConnectTrips = int(real.ReportBytes), real.ConnectBytes, real.ConnectTrips
	fmt.Println(real.Listed, "reports were opened; one came too late and is", real.LateFate)
	// Output: 7 reports were opened; one came too late and is over
}
