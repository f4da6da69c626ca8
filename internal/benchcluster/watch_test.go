package benchcluster

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

func TestGapOf(t *testing.T) {
	for name, c := range map[string]struct {
		marks    []int64
		from, to int64
		want     int64
	}{
		"none":                         {nil, 10, 30, 20},
		"before it":                    {[]int64{4}, 10, 30, 26},
		"one that began before":        {[]int64{4, 20, 25}, 10, 30, 16},
		"between two":                  {[]int64{9, 11, 21, 24}, 10, 26, 10},
		"until the end":                {[]int64{9, 11, 12}, 10, 30, 18},
		"what comes after is not seen": {[]int64{9, 11, 29, 99}, 10, 30, 18},
	} {
		at := func(s int64) time.Time { return time.Unix(s, 0) }
		var us []int64
		for _, s := range c.marks {
			us = append(us, at(s).UnixMicro())
		}
		if got := gapOf(marksOf(us), at(c.from), at(c.to)); got != time.Duration(c.want)*time.Second {
			t.Errorf("%s: %s, want %d s", name, got, c.want)
		}
	}
}

// Places of the hash space are the same however many partitions there are.
func TestProgressIsOfPlaces(t *testing.T) {
	root := &pb.Root{Sources: []*pb.Source{{Splits: []*pb.Split{{Id: "a", Group: 3, Rows: 7}}}}}
	root.Stages = []*pb.Stage{{Id: 1, Partitions: []*pb.Partition{{Hi: checkpoint.HashSpace, WatermarkUs: 5}}}}
	one := progress(root)
	half := checkpoint.HashSpace / 2
	root.Stages[0].Partitions = []*pb.Partition{{Hi: uint64(half), WatermarkUs: 5, Group: 1}, {Lo: uint64(half), Hi: checkpoint.HashSpace, WatermarkUs: 6, Group: 2}}
	two := progress(root)
	if len(one) != 1+places || len(two) != 1+places || one[0] != (share{"split a", 3, 7}) {
		t.Fatalf("%v, %v", one, two)
	}
	for i := range one {
		if one[i].name != two[i].name {
			t.Errorf("share %d is %q and then %q", i, one[i].name, two[i].name)
		}
	}
	if first, last := two[1], two[places]; first.far != 5 || first.group != 1 || last.far != 6 || last.group != 2 {
		t.Errorf("the first and last place are %v and %v", first, last)
	}
}

func TestQuantile(t *testing.T) {
	var of []time.Duration
	for i := range 100 {
		of = append(of, time.Duration(99-i))
	}
	if p50, p99, none := quantile(of, 0.5), quantile(of, 0.99), quantile(nil, 0.5); p50 != 50 || p99 != 99 || none != 0 {
		t.Errorf("%d, %d, %d", p50, p99, none)
	}
}
