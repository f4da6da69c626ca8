package sim

import (
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// job is one job in the bucket, and all who have to do with it.
type job struct {
	*world
	id      string
	paths   checkpoint.Paths
	current *pb.Root // committed; nil: none yet
	coords  []*coordinator
	workers []*worker
	person  *person

	outside map[string][]row // published, by name
	snaps   map[string]snap  // by pin
	void    []voided         // outputs whose rows were said to come again
	origin  *snap            // what a clone began with; nil: it is none
	run     string           // of the clone's first root

	contents map[objstore.Version]string // see NoNonce
}

// snap is the root that brought a pin in.
type snap struct {
	root *pb.Root
	out  []row // published by then
}

// voided are outputs that a restore has named.
type voided struct {
	run    string
	above  uint64
	cuts   []uint64
	upTo   uint64
	listed map[string]bool // by name, those that were open
}

func (w *world) newJob(name string, workers int) *job {
	j := &job{world: w, id: name, paths: checkpoint.NewPaths(name), outside: map[string][]row{}, snaps: map[string]snap{}}
	for i := range workers {
		j.workers = append(j.workers, &worker{j: j, name: fmt.Sprint(name, "/worker", i)})
	}
	j.person = &person{j: j}
	w.jobs = append(w.jobs, j)
	return j
}

// turn lets one of those who have to do with the job do one thing.
func (j *job) turn() {
	if j.origin != nil && j.current == nil {
		return // not made yet
	}
	leads := slices.ContainsFunc(j.coords, func(c *coordinator) bool { return !c.over() && c.frozen <= j.step })
	if j.current != nil && j.current.FinishedUs != 0 {
		leads = true // nobody is needed any more, but who is there goes on
	}
	if !leads && j.intn(2) == 0 || j.fault(400) {
		j.startCoordinator()
		return
	}
	n := len(j.workers) * 2
	switch x := j.intn(n + 4); {
	case x < n:
		j.workers[x/2].turn()
	case x == n+3:
		j.person.turn()
	case len(j.coords) > 0:
		c := j.coords[len(j.coords)-1]
		if j.intn(3) == 0 {
			c = j.coords[j.intn(len(j.coords))]
		}
		c.turn()
	}
}

// over tells whether nothing of the job goes on.
func (j *job) over() bool {
	if j.origin != nil && j.current == nil {
		return true
	}
	return j.current != nil && j.current.FinishedUs != 0 && !slices.ContainsFunc(j.coords, func(c *coordinator) bool { return !c.over() })
}

// leader returns a coordinator that listens, nil when there is none.
func (j *job) leader() *coordinator {
	for _, c := range j.coords {
		if !c.over() && !c.busy && c.frozen <= j.step {
			return c
		}
	}
	return nil
}
