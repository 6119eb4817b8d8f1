package gateway

import (
	"fmt"
	"time"
)

// Limits bound what vehicles can make a gateway do. Zero fields take their default.
type Limits struct {
	Uploads int // bodies that are read at the same time; default 4096; beyond it answers 503
	Reports int // R, announced reports of one vehicle in one round, 1 to 8; default 2
	// Rate and Burst bound the requests of one vehicle a second; default 20 and 200.
	Rate  float64
	Burst int
	// MinRate is the slowest body, bytes a second after Grace; default 100, half of a satellite link of 2.4 kbps.
	MinRate int
	Grace   time.Duration // default 30 s
	Idle    time.Duration // longest silence in a body, default 1 minute
	// TokenLife is how long a login lasts; default 15 minutes.
	TokenLife time.Duration
	Rounds    int   // rounds that are kept loaded; default 64
	Memory    int64 // bytes of announcements that are remembered; default 64 MiB

	Connections   int           // default 8192
	PerAddress    int           // connections of one IP address; default 256; negative: no limit
	HeaderTimeout time.Duration // handshake and header of a request; default 1 minute
	IdleTimeout   time.Duration // of a connection without a request; default 2 minutes
}

func (l Limits) complete() (Limits, error) {
	for _, f := range []struct {
		v   *int
		def int
	}{{&l.Uploads, 4096}, {&l.Reports, 2}, {&l.Burst, 200}, {&l.MinRate, 100}, {&l.Rounds, 64}, {&l.Connections, 8192}, {&l.PerAddress, 256}} {
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&l.Grace, 30 * time.Second},
		{&l.Idle, time.Minute},
		{&l.TokenLife, 15 * time.Minute},
		{&l.HeaderTimeout, time.Minute},
		{&l.IdleTimeout, 2 * time.Minute},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			return l, fmt.Errorf("gateway: limits: a time is negative")
		}
	}
	if l.Rate == 0 {
		l.Rate = 20
	}
	if l.Memory == 0 {
		l.Memory = 64 << 20
	}
	switch {
	case l.Uploads < 1 || l.Burst < 1 || l.MinRate < 1 || l.Rounds < 1 || l.Connections < 1 || !(l.Rate > 0) || l.Memory < 1<<20:
		return l, fmt.Errorf("gateway: limits: a number is too small")
	case l.Reports < 1 || l.Reports > 8:
		return l, fmt.Errorf("gateway: limits: %d reports of one vehicle, 1 to 8 are possible", l.Reports)
	}
	return l, nil
}
