package benchstate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"time"
)

// Options say what to measure.
type Options struct {
	Program []string // that runs a Case, given as JSON in its last argument, and prints its Result as JSON
	Keys    int64
	Rows    int64 // of each run
	Memory  int64 // bytes that a process may take that is to be short of it
	Every   time.Duration
	Figures io.Writer
	JSON    bool
	Folder  string // for buckets; a temporary one when empty
	Profile string // folder for profiles of the runs; empty: there are none
}

// Figure is one measured figure.
type Figure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// Bench measures: a job of so many keys without a bound on its memory and with one, with keys that come as often as others and by Zipf's law; how much
// memory the processes take; and how soon they have their first output after a start.
func Bench(ctx context.Context, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	dir := o.Folder
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "sabot-state-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	o.say("keys", "keys", float64(o.Keys))
	for _, dist := range []Distribution{Zipf, Uniform} {
		var rates [2]float64
		for i, memory := range []int64{0, o.Memory} {
			name := string(dist) + ", in memory"
			if memory > 0 {
				name = fmt.Sprintf("%s, %d MiB", dist, memory>>20)
			}
			c := Case{Bucket: filepath.Join(dir, fmt.Sprint(dist, i)), Keys: o.Keys, Rows: o.Rows, Dist: dist, Memory: memory, Checkpoint: o.Every}
			if o.Profile != "" {
				c.Profile = filepath.Join(o.Profile, fmt.Sprintf("%s-%d.pprof", dist, memory>>20))
			}
			r, err := o.run(ctx, c)
			if err != nil {
				return err
			}
			rates[i] = float64(r.Rows) / r.Seconds
			o.say(name+": throughput", "rows/s", rates[i])
			o.say(name+": most memory", "bytes", float64(r.RSS))
			if memory > 0 {
				o.say(name+": most memory of what it may take", "share", float64(r.RSS)/float64(memory))
			}
			if err := o.again(ctx, name, c); err != nil {
				return err
			}
		}
		o.say(string(dist)+": throughput of that in memory", "share", rates[1]/rates[0])
	}
	return nil
}

// validate refuses what could not be measured: splits give the same number of keys and rows each.
func (o Options) validate() error {
	if o.Keys < splits || o.Rows < splits || o.Keys%splits != 0 || o.Rows%splits != 0 {
		return fmt.Errorf("%d keys and %d rows: both must be even, and not 0", o.Keys, o.Rows)
	}
	if o.Memory <= 0 || o.Every <= 0 {
		return fmt.Errorf("memory of %d bytes and a checkpoint each %s: both must be above 0", o.Memory, o.Every)
	}
	return nil
}

// again starts a case once more, for a few rows.
func (o Options) again(ctx context.Context, name string, c Case) error {
	size, err := sizeOf(c.Bucket)
	if err != nil {
		return err
	}
	c.Rows += fewRows
	c.Profile = ""
	r, err := o.run(ctx, c)
	if err != nil {
		return err
	}
	o.say(name+": state in the bucket", "bytes", float64(size))
	o.say(name+": first output after a start", "s", r.First)
	return os.RemoveAll(c.Bucket)
}

// fewRows is how many rows are enough for a first output.
const fewRows = 100_000

func (o Options) say(name, unit string, value float64) { say(o.Figures, o.JSON, name, unit, value) }

// say writes one figure.
func say(w io.Writer, asJSON bool, name, unit string, value float64) {
	if asJSON {
		b, _ := json.Marshal(Figure{name, unit, value}) // a struct of text and a number
		fmt.Fprintf(w, "%s\n", b)
		return
	}
	fmt.Fprintf(w, "%-70s %14.6g %s\n", name, value, unit)
}

// argument is what a process is to run: one of the cases.
type argument struct {
	Little *Case      `json:",omitempty"`
	Large  *LargeCase `json:",omitempty"`
}

// run runs a case in a process of its own, whose memory is that of the case alone.
func (o Options) run(ctx context.Context, c Case) (r Result, err error) {
	r.CPU, err = spawn(ctx, o.Program, func() any { return argument{Little: &c} }, &r)
	return r, err
}

// spawn runs the program with an argument, which it asks for at the last moment, takes what it prints for the result, and returns the seconds of processors
// that it took.
func spawn(ctx context.Context, program []string, argument func() any, result any) (cpu float64, err error) {
	var out, complaint bytes.Buffer
	arg, err := json.Marshal(argument())
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program[0], append(slices.Clone(program[1:]), string(arg))...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("run the job: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), result); err != nil {
		return 0, fmt.Errorf("what the job printed: %w", err)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}

func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// RunCase is what Program of any options does with its argument.
func RunCase(ctx context.Context, arg string, w io.Writer) error {
	var a argument
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		return fmt.Errorf("the case: %w", err)
	}
	var result any
	var err error
	switch {
	case a.Little != nil:
		err = profiled(a.Little.Profile, func() error {
			result, err = Run(ctx, *a.Little)
			return err
		})
	case a.Large != nil:
		err = profiled(a.Large.Profile, func() error {
			result, err = RunLarge(ctx, *a.Large)
			return err
		})
	default:
		err = fmt.Errorf("the case %s is none", arg)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(result)
}

// profiled calls f, and writes a profile of the processors meanwhile to a file; an empty one is none.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}
