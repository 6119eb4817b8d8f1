package planet

// flow is an upload in a beam. Work is counted in the time that it would take alone.
type flow struct {
	finish float64 // of the beam's clock
	job    int32
	gen    uint32
}

// beam is an uplink that many share. While the rates of all uploads exceed its capacity, all
// slow down by the same factor: its clock then runs slower than time, and an upload is done
// when the clock has run as long as the upload would take alone. With uploads as fast as the
// beam this is processor sharing.
type beam struct {
	capacity float64 // bytes a tick
	clock    float64
	at       tick // when the clock was read
	rates    float64
	members  int
	heap     []flow // of members, and of uploads that have left
	gen      uint32 // of the event for the next finish

	most      int  // uploads at one time
	saturated tick // time in which uploads slowed down
	busy      tick
}

func (b *beam) speed() float64 {
	if b.rates <= b.capacity {
		return 1
	}
	return b.capacity / b.rates
}

// read lets the clock run to t.
func (b *beam) read(t tick) float64 {
	if b.members > 0 {
		b.busy += t - b.at
		if b.rates > b.capacity {
			b.saturated += t - b.at
		}
	}
	b.clock += float64(t-b.at) * b.speed()
	b.at = t
	return b.clock
}

// join adds an upload that would take work alone, and returns where the clock will be at its end.
func (b *beam) join(t tick, j int32, gen uint32, rate, work float64) float64 {
	finish := b.read(t) + work
	b.rates += rate
	b.members++
	b.most = max(b.most, b.members)
	b.heap = append(b.heap, flow{finish, j, gen})
	for i := len(b.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !b.less(i, parent) {
			break
		}
		b.heap[i], b.heap[parent] = b.heap[parent], b.heap[i]
		i = parent
	}
	return finish
}

// leave takes an upload out; its entry in the heap is void by its generation.
func (b *beam) leave(t tick, rate float64) {
	b.read(t)
	b.rates -= rate
	if b.members--; b.members == 0 {
		b.rates, b.clock, b.heap = 0, 0, b.heap[:0] // no rounding error outlives a busy period
	}
}

func (b *beam) less(i, j int) bool {
	if b.heap[i].finish != b.heap[j].finish {
		return b.heap[i].finish < b.heap[j].finish
	}
	return b.heap[i].job < b.heap[j].job
}

// first returns the upload that ends first; alive tells which entries still hold.
func (b *beam) first(alive func(flow) bool) (flow, bool) {
	for len(b.heap) > 0 {
		if alive(b.heap[0]) {
			return b.heap[0], true
		}
		b.drop()
	}
	return flow{}, false
}

func (b *beam) drop() {
	last := len(b.heap) - 1
	b.heap[0] = b.heap[last]
	b.heap = b.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(b.heap); child++ {
			if b.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		b.heap[i], b.heap[least] = b.heap[least], b.heap[i]
		i = least
	}
}

// due is when the clock gets to finish, at the present speed and never before t.
func (b *beam) due(t tick, finish float64) tick {
	wait := (finish - b.clock) / b.speed()
	if wait <= 0 {
		return t
	}
	if wait >= float64(never-t) {
		return never
	}
	return t + tick(wait) + 1 // rounded up, so that the clock is there
}
