package planet

// tick is simulated time in microseconds since the start.
type tick int64

// Lengths in ticks.
const (
	second tick = 1e6
	minute      = 60 * second
	hour        = 60 * minute
	never  tick = 1 << 62
)

func seconds(s float64) tick    { return tick(s*float64(second) + 0.5) }
func (t tick) seconds() float64 { return float64(t) / float64(second) }

// kind is what happens.
type kind uint8

const (
	roundOpens kind = iota
	roundEnds       // at its deadline
	modelIsOut
	inviting
	starts
	seals
	loses
	breaks
	resumes
	sent // an upload that shares no beam
	beamSends
	arrives
)

// event happens to a job, a round or a beam. Those of a job or beam that has moved on since are void.
type event struct {
	at   tick
	seq  uint64 // events of one time keep their order
	who  int32
	gen  uint32
	kind kind
}

func (e event) before(f event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// queue is a calendar: one bag for each second to come, and a heap of the second that runs.
// So most events are appended once and sorted among few.
type queue struct {
	bags  [][]event
	day   int // the bag that is in the heap
	heap  []event
	seq   uint64
	spare [][]event
	size  int
}

const bagLength = second

// push adds an event, of which those that never come are forgotten.
func (q *queue) push(e event) {
	if e.at >= never {
		return
	}
	e.seq = q.seq
	q.seq++
	q.size++
	at := int(e.at / bagLength)
	if at <= q.day {
		q.heap = append(q.heap, e)
		q.up(len(q.heap) - 1)
		return
	}
	for at >= len(q.bags) {
		q.bags = append(q.bags, nil)
	}
	if q.bags[at] == nil && len(q.spare) > 0 {
		q.bags[at] = q.spare[len(q.spare)-1]
		q.spare = q.spare[:len(q.spare)-1]
	}
	q.bags[at] = append(q.bags[at], e)
}

// pop returns the next event, false if there is none.
func (q *queue) pop() (event, bool) {
	for len(q.heap) == 0 {
		if q.size == 0 {
			return event{}, false
		}
		q.day++
		bag := q.bags[q.day]
		q.bags[q.day] = nil
		q.heap = append(q.heap, bag...)
		for i := len(q.heap)/2 - 1; i >= 0; i-- {
			q.down(i)
		}
		if cap(bag) > 0 && len(q.spare) < 64 {
			q.spare = append(q.spare, bag[:0])
		}
	}
	e := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap = q.heap[:last]
	q.down(0)
	q.size--
	return e, true
}

func (q *queue) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.heap[i].before(q.heap[parent]) {
			return
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *queue) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q.heap); child++ {
			if q.heap[child].before(q.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
