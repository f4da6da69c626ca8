package sim

import "github.com/sabot-stream/sabot/checkpoint/pb"

// fate is what becomes of a request or a message.
type fate int

const (
	passes     fate = iota
	lost            // it never arrives
	answerLost      // it takes effect, and nobody is told
	late            // it takes effect some time later
	conflict        // refused by a 409
	twice           // it arrives again, later
)

// plan is what a scenario decides, where otherwise chance does.
type plan struct {
	commit   func(j *job, body []byte) fate          // of a conditional write
	put      func(j *job, key string) fate           // of an object
	report   func(c *coordinator, r *pb.Report) fate // on its way to a coordinator
	rows     func(k *worker) bool                    // whether a worker may read rows; nil: it may, and so below
	publish  func(k *worker) bool                    // whether it may publish
	compact  func(k *worker, t *pb.CompactionTask) bool
	holdLate bool // what is late stays so until the scenario lets it come
}

// commitFate decides about a conditional write.
func (j *job) commitFate(body []byte) fate {
	switch {
	case j.plan.commit != nil:
		return j.plan.commit(j, body)
	case j.storm > j.step, j.fault(15):
		return lost // 5xx, 429, or lost on its way
	case j.fault(15):
		return late
	case j.fault(25):
		return conflict
	case j.fault(12):
		return answerLost
	}
	return passes
}

// putFate decides about the write of an object.
func (j *job) putFate(key string) fate {
	switch {
	case j.plan.put != nil:
		return j.plan.put(j, key)
	case j.storm > j.step, j.fault(30):
		return lost
	case j.fault(30):
		return answerLost
	}
	return passes
}

// reportFate decides about a report that a coordinator is to hear.
func (c *coordinator) reportFate(r *pb.Report) fate {
	switch {
	case c.j.plan.report != nil:
		return c.j.plan.report(c, r)
	case c.j.fault(25):
		return lost
	case c.j.fault(25):
		return twice
	case c.j.fault(25):
		return late
	}
	return passes
}
