package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/change"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

type planFlags struct {
	Diff bool `help:"Compare it with the job's last checkpoint: exit 0 when the job goes on from there, 1 when it needs --allow-state-loss, 2 when it cannot."`
	JSON bool `help:"Print the comparison as JSON."`
}

// Exit codes of plan --diff, besides exitDone.
const (
	exitLoses   = 1
	exitCannot  = 2
	exitUnknown = 3 // it could not be found out
)

// executePlan shows a job's plan, or what would become of the job if it were started.
func executePlan(ctx context.Context, f planFlags, o Options, stdout, stderr io.Writer, job *sabot.Job) int {
	code, err := showPlan(ctx, f, o, stdout, job)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return exitUnknown
	}
	return code
}

func showPlan(ctx context.Context, f planFlags, o Options, stdout io.Writer, job *sabot.Job) (int, error) {
	if f.JSON && !f.Diff {
		return 0, errors.New("--json is for --diff")
	}
	if err := o.defaults(); err != nil {
		return 0, err
	}
	plan, err := job.Plan()
	if err != nil {
		return 0, err
	}
	if o.As != "" {
		plan.Job = o.As
	}
	r := &localRun{opt: o, job: job, plan: plan}
	now, err := r.describe(ctx, sabot.Env{Job: plan.Job, Log: o.Log, Now: o.Clock.Now})
	if err != nil {
		return 0, err
	}
	if !f.Diff {
		graph, err := bind.Bind(plan, job.Impl, schemasOf(now))
		if err == nil {
			fmt.Fprint(stdout, graph.Describe())
		}
		return exitDone, err
	}
	root, err := r.committed(ctx)
	if err != nil {
		return 0, err
	}
	var d change.Decision
	if root != nil {
		if _, d, err = r.decide(root, now); err != nil {
			return 0, err
		}
	}
	diff := planDiff{Job: plan.Job, Bucket: o.Bucket, Epoch: root.GetEpoch(), Items: d.Items, decision: d, none: root == nil}
	diff.Verdict, diff.code, diff.help = diff.verdict()
	if f.JSON {
		return diff.code, json.NewEncoder(stdout).Encode(diff)
	}
	return diff.code, diff.print(stdout)
}

// committed returns the job's root, nil when there is none. It creates nothing.
func (r *localRun) committed(ctx context.Context) (*pb.Root, error) {
	if err := checkpoint.CheckName(r.plan.Job); err != nil {
		return nil, err
	}
	bucket, err := bucketurl.OpenExisting(ctx, r.opt.Bucket, r.opt.Buckets...)
	if err != nil {
		return nil, err
	}
	defer bucket.Close()
	s := &checkpoint.Store{Bucket: bucket, Paths: checkpoint.NewPaths(r.plan.Job), Clock: r.opt.Clock, Log: r.opt.Log}
	root, _, err := s.Read(ctx)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil
	}
	return root, err
}

// planDiff is what plan --diff tells.
type planDiff struct {
	Job     string        `json:"job"`
	Bucket  string        `json:"bucket"`
	Epoch   uint64        `json:"checkpoint"`
	Verdict string        `json:"verdict"`
	Items   []change.Item `json:"items"`

	decision change.Decision
	code     int
	help     string
	none     bool // there is no checkpoint
}

func (p planDiff) verdict() (name string, code int, help string) {
	if p.none {
		return "new", exitDone, fmt.Sprintf("Job %q has no checkpoint in bucket %s: it begins with nothing.", p.Job, p.Bucket)
	}
	switch p.decision.Verdict() {
	case change.Refused:
		return "impossible", exitCannot, "It cannot go on like that. " + undoHelp + "."
	case change.Drain:
		return "drain first", exitCannot, "It cannot go on like that yet. " + drainHelp + "."
	case change.Dropped:
		return "loses state", exitLoses, fmt.Sprintf("It goes on from checkpoint %d, but not without --allow-state-loss.", p.Epoch)
	}
	return "goes on", exitDone, fmt.Sprintf("It goes on from checkpoint %d.", p.Epoch)
}

// print prints the comparison for a person.
func (p planDiff) print(w io.Writer) error {
	if len(p.Items) > 0 {
		var text bytes.Buffer
		t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "OPERATOR\tSTATE\tWHAT BECOMES OF IT\tWHY")
		for _, i := range p.Items {
			operator := i.Operator
			if operator == "" {
				operator = "(the job)"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", operator, i.Part, i.Outcome, i.Reason)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for line := range strings.Lines(text.String()) {
			fmt.Fprintln(w, strings.TrimRight(line, " \n"))
		}
	}
	_, err := fmt.Fprintln(w, p.help)
	return err
}
