package row

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// kept is a value of state with all that a codec knows.
type kept struct {
	Plain plain
	List  []leaf
	Deep  [][]string
	Opt   *leaf
	Times []time.Time
}

type leaf struct {
	Name string
	N    *int32
	More []leaf2
}

type leaf2 struct{ X, Y float64 }

func codecOf(t testing.TB, v any) *Codec {
	t.Helper()
	c, err := NewCodec(reflect.TypeOf(v))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func randomKept(r *rand.Rand) kept {
	var k kept
	fill(r, reflect.ValueOf(&k.Plain).Elem())
	for range r.IntN(4) {
		l := leaf{Name: "n"}
		if r.IntN(2) == 0 {
			n := int32(r.Uint32())
			l.N = &n
		}
		for range r.IntN(3) {
			l.More = append(l.More, leaf2{r.Float64(), -r.Float64()})
		}
		k.List = append(k.List, l)
		k.Deep = append(k.Deep, strings.Split(strings.Repeat(",", r.IntN(3)), ","))
		k.Times = append(k.Times, time.UnixMicro(r.Int64()>>12).UTC())
		k.Opt = &l
	}
	return k
}

// Values come back from bytes as they were; nil and empty slices are one. No strict beginning of the bytes is taken, nor are more bytes.
func TestCodecRoundTrip(t *testing.T) {
	c := codecOf(t, kept{})
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		want := randomKept(r)
		b := c.Append([]byte("before"), reflect.ValueOf(want))
		if string(b[:6]) != "before" {
			t.Fatalf("seed %d: Append changed what stood before", seed)
		}
		b = b[6:]
		var got kept
		if err := c.Decode(b, reflect.ValueOf(&got).Elem()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		for cut := range len(b) {
			if err := c.Decode(b[:cut], reflect.ValueOf(&got).Elem()); err == nil {
				t.Fatalf("seed %d: the first %d of %d bytes were taken for a value", seed, cut, len(b))
			}
		}
		if err := c.Decode(append(b, 0), reflect.ValueOf(&got).Elem()); err == nil || !strings.Contains(err.Error(), "it goes on behind its end") {
			t.Fatalf("seed %d: a byte too many: error %v", seed, err)
		}
	}
}

// Bytes of another shape of type are an error.
func TestCodecShapes(t *testing.T) {
	type (
		a struct{ N int64 }
		b struct{ M int64 }
		c struct{ N int32 }
		d struct{ N *int64 }
		e struct{ N []int64 }
		f struct{ N, M int64 }
		g struct{ N time.Time }
		h struct{ N string }
		i struct{}
		j struct{ N a }
	)
	shapes := []any{a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{}, []int64{}, []string{}}
	for _, from := range shapes {
		enc := codecOf(t, from).Append(nil, reflect.ValueOf(from))
		for _, to := range shapes {
			v := reflect.New(reflect.TypeOf(to)).Elem()
			err := codecOf(t, to).Decode(enc, v)
			if same := reflect.TypeOf(from) == reflect.TypeOf(to); same != (err == nil) {
				t.Errorf("bytes of %T into %T: error %v", from, to, err)
			}
		}
	}
	type renamed struct{ N int64 }
	if err := codecOf(t, renamed{}).Decode(codecOf(t, a{}).Append(nil, reflect.ValueOf(a{7})), reflect.New(reflect.TypeFor[renamed]()).Elem()); err != nil {
		t.Errorf("a type of another name and the same shape is refused: %v", err)
	}
}

func TestCodecRefuses(t *testing.T) {
	type tree struct{ Left, Right *tree }
	for want, v := range map[string]any{
		"row.tree cannot be kept in state: it is nested too deep":                                             tree{},
		"chan int cannot be kept in state: chan int is neither scalar, struct, slice nor pointer":             make(chan int),
		"map[string]int cannot be kept in state: map[string]int is neither scalar, struct, slice nor pointer": map[string]int{},
		"row.onlyHidden cannot be kept in state: field a of row.onlyHidden is not exported":                   onlyHidden{},
		"[]row.empty cannot be kept in state: []row.empty has elements without content: keep its length":      []empty{},
	} {
		if _, err := NewCodec(reflect.TypeOf(v)); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Whatever the bytes, Decode returns a value or an error, and what it takes as a value it writes as such.
func FuzzCodecDecode(f *testing.F) {
	c := codecOf(f, kept{})
	for seed := range uint64(5) {
		k := randomKept(rand.New(rand.NewPCG(seed, 3)))
		f.Add(c.Append(nil, reflect.ValueOf(k))[4:])
	}
	head := c.Append(nil, reflect.ValueOf(kept{}))[:4]
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, second kept
		if c.Decode(append(head[:4:4], b...), reflect.ValueOf(&first).Elem()) != nil {
			return
		}
		if err := c.Decode(c.Append(nil, reflect.ValueOf(first)), reflect.ValueOf(&second).Elem()); err != nil {
			t.Fatalf("what was decoded cannot be decoded again: %v", err)
		}
		if diff := cmp.Diff(first, second, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("it came back otherwise (-want +got):\n%s", diff)
		}
	})
}
