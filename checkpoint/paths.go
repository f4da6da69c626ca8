package checkpoint

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// maxName is the greatest length of a job's name.
const maxName = 100

// CheckName returns an Invalid error unless name can be a job's: lower-case letters, digits, '.', '_' and '-', beginning with a letter or
// digit, at most 100 bytes.
func CheckName(name string) error {
	bad := func(why string) error {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job name %.120q: %s", name, why))
	}
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > maxName:
		return bad(fmt.Sprintf("is longer than %d bytes", maxName))
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case (c == '.' || c == '_' || c == '-') && i > 0:
		case c == '.' || c == '_' || c == '-':
			return bad("must begin with a lower-case letter or a digit")
		default:
			return bad("may hold only lower-case letters, digits, '.', '_' and '-'")
		}
	}
	return nil
}

// Paths builds the key of every object of one job.
type Paths struct{ job string }

// NewPaths returns the paths of a job whose name CheckName has let pass.
func NewPaths(job string) Paths { return Paths{job} }

// Job returns the job's name.
func (p Paths) Job() string { return p.job }

// Prefix is what the keys of all objects of the job begin with; it ends in a slash.
func (p Paths) Prefix() string { return p.job + "/" }

// Current is the key of the committed root.
func (p Paths) Current() string { return p.job + "/CURRENT" }

// Lease is the key of the lease object.
func (p Paths) Lease() string { return p.job + "/LEASE" }

// Packs is what the keys of all packs begin with.
func (p Paths) Packs() string { return p.job + "/packs/" }

// Pack is the key of a pack of cut n under a term. Random is not empty, of lower-case letters and digits, and new for each pack.
func (p Paths) Pack(term, n uint64, random string) string {
	return fmt.Sprintf("%s/packs/%016x-%016x-%s", p.job, term, n, random)
}

// ParsePack returns the term and the cut of a key that Pack of this job has built; ok is false for any other key.
func (p Paths) ParsePack(key string) (term, n uint64, ok bool) {
	rest, ok := strings.CutPrefix(key, p.Packs())
	if !ok {
		return 0, 0, false
	}
	return parseNumbered(rest)
}

// parseNumbered reads two numbers and something random, as in a pack's name.
func parseNumbered(rest string) (term, n uint64, ok bool) {
	if len(rest) < 35 || rest[16] != '-' || rest[33] != '-' {
		return 0, 0, false
	}
	if term, ok = parseHex(rest[:16]); !ok {
		return 0, 0, false
	}
	if n, ok = parseHex(rest[17:33]); !ok {
		return 0, 0, false
	}
	for _, c := range []byte(rest[34:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return 0, 0, false
		}
	}
	return term, n, true
}

// parseHex reads 16 lower-case hexadecimal digits.
func parseHex(s string) (uint64, bool) {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(s, 16, 64)
	return v, err == nil
}

// Copies is what the keys of all copies of roots begin with.
func (p Paths) Copies() string { return p.job + "/copies/" }

// Copy is the key of the copy that belongs to a pin.
func (p Paths) Copy(pin *pb.Pin) string {
	return fmt.Sprintf("%s%016x-%016x-%s", p.Copies(), pin.Term, pin.Epoch, pin.Id)
}

// ParseCopy returns the term of a key that Copy of this job has built; ok is false for any other key.
func (p Paths) ParseCopy(key string) (term uint64, ok bool) {
	rest, ok := strings.CutPrefix(key, p.Copies())
	if !ok {
		return 0, false
	}
	term, _, ok = parseNumbered(rest)
	return term, ok
}

// Dead is the key of the dead letters that a run committed at a cut as section index.
func (p Paths) Dead(run string, cut uint64, index uint32) string {
	return fmt.Sprintf("%s/dead/%s/%010d-%04d.jsonl", p.job, run, cut, index)
}

// ListJobs returns the names of the jobs that have a root in the bucket, in order. It lists the whole bucket.
func ListJobs(ctx context.Context, bucket objstore.Bucket) ([]string, error) {
	var jobs []string
	for o, err := range bucket.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		if name, ok := strings.CutSuffix(o.Key, "/CURRENT"); ok && CheckName(name) == nil {
			jobs = append(jobs, name)
		}
	}
	return jobs, nil
}
