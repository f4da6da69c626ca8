package kernel

// scratch is memory for the values in between of one Select after another; nil: the heap, for values that outlive the evaluation.
type scratch struct {
	ints   pool[int64]
	floats pool[float64]
	bools  pool[bool]
}

// reset takes back what was lent.
func (s *scratch) reset() { s.ints.used, s.floats.used, s.bools.used = 0, 0, 0 }

// pool lends slices of one type.
type pool[T any] struct {
	all  [][]T
	used int
}

// take returns n zeroes.
func (p *pool[T]) take(n int) []T {
	if p.used == len(p.all) {
		p.all = append(p.all, nil)
	}
	v := &p.all[p.used]
	p.used++
	if cap(*v) < n {
		*v = make([]T, n)
		return *v
	}
	clear((*v)[:n])
	return (*v)[:n]
}

func (f *frame) newInts() []int64 {
	if f.scratch == nil {
		return make([]int64, f.n)
	}
	return f.scratch.ints.take(f.n)
}

func (f *frame) newFloats() []float64 {
	if f.scratch == nil {
		return make([]float64, f.n)
	}
	return f.scratch.floats.take(f.n)
}

func (f *frame) newBools() []bool {
	if f.scratch == nil {
		return make([]bool, f.n)
	}
	return f.scratch.bools.take(f.n)
}
